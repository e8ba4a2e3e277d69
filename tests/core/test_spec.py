from __future__ import annotations

from pathlib import Path

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.stages.select.spec import SelectSpec


def test_an_unknown_option_gets_a_suggestion() -> None:
    with pytest.raises(BadInput, match="unknown option 'limt' for ProbeSpec; did you mean 'limit'"):
        ProbeSpec.parse({"out": "p", "limt": 3})


def test_a_missing_option_is_named() -> None:
    with pytest.raises(BadInput, match="option 'out' is needed"):
        ProbeSpec.parse({})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicas": 0}, "option 'replicas' was given 0: .*greater than or equal to 1"),
        ({"size": 0}, "option 'size' was given 0: allowed: a number of examples from 1, all, or"),
        ({"levels": "2,7"}, "option 'levels' was given '2,7': allowed: natural, levels 0 to 4 as"),
        ({"short": "skip"}, "option 'short' was given 'skip': .*'error' or 'fill'"),
    ],
)
def test_a_value_that_is_not_allowed_is_shown(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        SelectSpec.parse({"out": "s", "probe": "p", **options})


@pytest.mark.parametrize("exposures", [(), (0,), (-1, 3), (2, 2)])
def test_exposures_must_differ_and_tell_something(exposures: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="option 'exposures' was given"):
        PlantSpec.parse({"out": "p", "exposures": exposures})


def test_levels_are_recorded_in_one_form() -> None:
    spec = SelectSpec(out=Path("s"), probe=Path("p"), levels="3, 1,3")
    assert spec.levels == "1,3"
    assert spec.mixture.levels == (1, 3)
    plain = SelectSpec(out=Path("s"), probe=Path("p"))
    assert plain.levels == "natural"
    assert plain.mixture.levels == (0, 1, 2, 3, 4)
    named = SelectSpec(out=Path("s"), probe=Path("p"), levels="4,3,2,1,0")
    assert named.recorded()["levels"] == "natural"


def test_what_is_recorded_decides_the_result() -> None:
    recorded = ProbeSpec(out=Path("p"), plan=True).recorded()
    assert not {"out", "plan"} & recorded.keys()
    assert recorded["estimator"] == "survival"


def test_a_spec_cannot_be_changed() -> None:
    spec = ProbeSpec(out=Path("p"))
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 3  # type: ignore[misc]


def test_draws_depend_on_the_estimator() -> None:
    assert ProbeSpec(out=Path("p")).draws_per_template == 1
    assert ProbeSpec(out=Path("p"), estimator="draws").draws_per_template == 10
    assert ProbeSpec(out=Path("p"), draws=4).draws_per_template == 4


def test_options_that_do_not_go_together_are_said_in_one_line() -> None:
    with pytest.raises(BadInput, match=r"^--draws and --budget say the same thing: give one of"):
        ProbeSpec.parse({"out": "p", "draws": 2, "budget": "5 draws"})
