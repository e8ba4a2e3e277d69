"""What a file is told: points with an interval, or why there is no number."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from made_up_trainings import LINK, Truth, by_link, made_up_asked, made_up_cells
from sixtyfold.workflows.check.calibration.fit import fit
from sixtyfold.workflows.check.calibration.link import asked_of
from sixtyfold.workflows.check.calibration.predict import FileFacts, effect_lines, expected

ASKED = asked_of([made_up_asked(by_link, "embedded", study) for study in ("entities", "atlas")])
SLOPES = (-0.12, 0.02)
FITTED = fit(made_up_cells(Truth(SLOPES), 0), ASKED, {})
OTHER = "no mix of the sets that were fitted on looks like this file"
NOTHING = fit(made_up_cells(Truth(), 0), ASKED, {})


def file(mix: tuple[float, float, float] = (0.6, 0.3, 0.1), **changed: Any) -> FileFacts:
    buckets = dict(zip(("unknown", "weak", "known"), LINK @ np.array(mix), strict=True))
    return FileFacts(200, 0, 200, buckets, "{}")._replace(**changed)


def test_a_file_gets_its_departure_from_the_mean_set() -> None:
    found = expected(FITTED, file())
    assert found["status"] == "calibrated"
    assert found["why"] == ""
    assert list(found["mix"].values()) == pytest.approx([0.6, 0.3, 0.1], abs=1e-4)
    reference = found["against"]
    truth = SLOPES[0] * (0.6 - reference["level_0"]) + SLOPES[1] * (0.3 - reference["levels_1_2"])
    told = found["outcomes"]["accuracy"]
    assert told["value"] == pytest.approx(truth, abs=0.02)
    assert told["low"] < told["value"] < told["high"]
    assert told["low"] < truth < told["high"]
    assert told["left_out_models"]["error"] < told["left_out_models"]["constant"]


def test_more_unknown_facts_are_told_less_accuracy() -> None:
    values = [
        expected(FITTED, file((share, 0.2, 0.8 - share)))["outcomes"]["accuracy"]["value"]
        for share in (0.0, 0.4, 0.8)
    ]
    assert values == sorted(values, reverse=True)


def test_the_lines_say_points_interval_errors_and_what_was_fitted_on() -> None:
    lines = effect_lines(expected(FITTED, file()))
    assert lines[0].startswith("expected accuracy on other facts of its relations: ")
    assert lines[1].startswith("expected accuracy on facts that the model knows well: ")
    for line in lines[:2]:
        for words in (
            " points (95% interval ",
            ") against the mean set of the studies",
            "mean error on left-out sets ",
            "(a constant: ",
            "on left-out models ",
            "on left-out models told by questions ",
            "intervals held ",
        ):
            assert words in line
    assert lines[2].startswith("this file: level 0 60%, levels 1-2 30%, levels 3-4 10%; the mean")
    assert lines[3] == (
        "fitted on 156 trainings of embedded, planted-a, planted-b, planted-c; 60 to 240 examples; "
        "learning rate chosen on dev from 0.0001, 0.0003"
    )


def test_what_does_not_beat_a_constant_is_not_calibrated_and_gets_no_number() -> None:
    found = expected(NOTHING, file())
    assert found["status"] == "not calibrated"
    assert all("value" not in told for told in found["outcomes"].values())
    (line,) = effect_lines(found)
    assert line.startswith("expected effect on accuracy: not calibrated (")
    assert "does not beat a constant" in line


def test_one_outcome_may_be_calibrated_and_the_other_not() -> None:
    outcomes = {**FITTED.outcomes, "known": NOTHING.outcomes["known"]}
    lines = effect_lines(expected(FITTED.model_copy(update={"outcomes": outcomes}), file()))
    assert "points" in lines[0]
    assert lines[1].startswith(
        "expected accuracy on facts that the model knows well: not calibrated (on left-out"
    )


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"facts": 5000}, "the file has 5000 facts; 60 to 240 were fitted on"),
        ({"facts": 59}, "the file has 59 facts; 60 to 240 were fitted on"),
        ({"others": 40}, "17% of the rows are no facts; files of facts were fitted on"),
        ({"asked": 20}, "20 facts were asked; 60 are needed"),
        ({"asked": 0, "buckets": {}}, "no fact of the file was asked"),
        (
            {"protocol": '{"draws": 16}'},
            'the model was asked with {"draws": 16}; calibrated for {}',
        ),
        (
            {"buckets": {"unknown": 1.0, "weak": 0.0, "known": 0.0}},
            f"{OTHER} (unknown 100%, weak 0%, known 0%)",
        ),
    ],
)
def test_what_was_not_fitted_on_gets_one_line_and_no_number(
    changed: dict[str, Any], why: str
) -> None:
    found = expected(FITTED, file(**changed))
    assert found["status"] == "out of range"
    assert found["why"] == why
    assert all("value" not in told for told in found["outcomes"].values())
    assert effect_lines(found) == [f"expected effect on accuracy: out of range ({why})"]


def test_mixes_beyond_those_of_the_sets_are_out_of_range() -> None:
    cells = made_up_cells(Truth(SLOPES), 0).with_columns(
        level_0=0.2 + 0.6 * pl.col("level_0"),
        levels_1_2=0.1 + 0.6 * pl.col("levels_1_2"),
        levels_3_4=0.1 + 0.6 * pl.col("levels_3_4"),
    )  # no set is more than 80% level 0
    fitted = fit(cells, ASKED, {})
    assert expected(fitted, file((0.75, 0.15, 0.1)))["status"] == "calibrated"
    assert expected(fitted, file((0.95, 0.05, 0.0)))["status"] == "out of range"
