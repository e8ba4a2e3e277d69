from __future__ import annotations

from pathlib import Path

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.select.mixture import Mixture, parse_mixture
from sixtyfold.stages.select.spec import SelectSpec


def asked(**options: object) -> SelectSpec:
    return SelectSpec.parse({"probe": Path("p"), "out": Path("o"), **options})


def test_mixtures() -> None:
    assert parse_mixture("natural") == Mixture((0, 1, 2, 3, 4), None)
    assert parse_mixture("3, 2,3") == Mixture((2, 3), None)
    assert parse_mixture("4:.4, 0:.1, 2:.5") == Mixture((0, 2, 4), (0.1, 0.5, 0.4))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("5", "allowed: natural, levels 0 to 4"),
        ("", "allowed: natural, levels 0 to 4"),
        ("0:.5,1", "give every level once, each with its share"),
        ("0:.5,0:.5", "give every level once, each with its share"),
        ("0:.5,1:.4", "the shares sum to 0.9; they must sum to 1"),
        ("0:half,1:.5", "the share 'half' is no number"),
        ("0:0,1:1", "the share '0' is not above 0"),
        ("0:nan,1:1", "the share 'nan' is not above 0"),
    ],
)
def test_what_is_no_mixture(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=f"option 'levels' was given '{text}': .*{reason}"):
        asked(levels=text)


def test_equal_settings_are_recorded_equally() -> None:
    assert asked(levels="3,2", size=60, balance="answers,relations").recorded() == (
        asked(levels="2,3", size="60", balance="relations,answers").recorded()
    )


def test_sizes() -> None:
    assert asked(size="240, 60,all,60,060").sizes == ("60", "240", "all")
    assert asked(size="60,240").is_ladder
    assert asked(replicas=2).is_ladder
    assert not asked(size="all").is_ladder
    for wrong in ("0", "-3", "many", "60,", "1.5", "", "²"):
        with pytest.raises(BadInput, match=r"option 'size' .*allowed: a number of examples from 1"):
            asked(size=wrong)


def test_words_that_are_not_known() -> None:
    with pytest.raises(BadInput, match=r"allowed: relations, answers, length, separated by commas"):
        asked(balance="relation")
    with pytest.raises(BadInput, match=r"allowed: HighlyKnown, MaybeKnown, WeaklyKnown, Unknown"):
        asked(slick="known")
    with pytest.raises(BadInput, match=r"'unknown_answer' .*an answer is needed"):
        asked(unknown_answer="  ")
