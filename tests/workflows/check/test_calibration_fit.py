"""The verdict: a number where levels matter in the same way everywhere, none where they do not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from made_up_trainings import (
    DESIGN,
    RECIPE,
    Truth,
    by_link,
    made_up_asked,
    made_up_cells,
)
from sixtyfold.workflows.check.calibration.fit import fit, outcome_of
from sixtyfold.workflows.check.calibration.fitted import Fitted, Outcome, shipped
from sixtyfold.workflows.check.calibration.link import asked_of

ASKED = asked_of([made_up_asked(by_link, "embedded", study) for study in ("entities", "atlas")])
MATTERS = Truth((-0.12, 0.02))


def outcomes(truth: Truth, studies: int = 20) -> list[Outcome]:
    return [outcome_of(made_up_cells(truth, seed), "accuracy", ASKED) for seed in range(studies)]


def test_levels_that_matter_are_found_with_their_slopes() -> None:
    found = outcomes(MATTERS)
    assert np.mean([each.calibrated for each in found]) >= 0.95
    slopes = np.mean([each.slopes for each in found if each.slopes is not None], axis=0)
    assert slopes == pytest.approx(MATTERS.slopes, abs=0.01)
    one = next(each for each in found if each.calibrated)
    assert one.why == ""
    assert one.groups is not None
    assert one.models is not None
    assert one.asked is not None
    assert one.groups.error < one.groups.constant
    assert one.groups.folds == 12
    assert one.models.folds == len(one.folds) == 4
    assert one.asked.folds == 1  # the model that can be asked, with both of its studies
    assert one.asked.sets == 16


@pytest.mark.parametrize(
    "truth",
    [Truth(), Truth(by_set=0.03), Truth(by_model=0.1)],
    ids=["nothing", "each set its own", "each model its own"],
)
def test_levels_that_do_not_matter_or_not_alike_give_no_number(truth: Truth) -> None:
    found = outcomes(truth)
    assert sum(each.calibrated for each in found) <= 1  # of 20
    assert all("does not beat a constant" in each.why for each in found if not each.calibrated)


def test_one_model_that_goes_the_other_way_is_enough_for_no_number() -> None:
    cells = made_up_cells(MATTERS, 0)
    turned = pl.col("model") == "planted-a"
    level = pl.col("accuracy").mean().over("study", "size", "model")
    cells = cells.with_columns(
        accuracy=pl.when(turned).then(2 * level - pl.col("accuracy")).otherwise("accuracy")
    )
    found = outcome_of(cells, "accuracy", ASKED)
    assert not found.calibrated
    assert found.why.startswith("on left-out models it does not beat a constant for sure (mean")
    assert outcome_of(cells, "known", ASKED).calibrated  # each outcome has its own verdict


def test_without_a_model_that_can_be_asked_there_is_no_number() -> None:
    cells = made_up_cells(MATTERS, 0)
    found = outcome_of(cells, "accuracy", [])
    assert not found.calibrated
    assert found.why.startswith("no model of the studies was asked")
    silent = asked_of([made_up_asked(lambda _: (1.0, 0.0, 0.0), "planted-a", "planted")])
    fitted = fit(cells, silent, {})
    assert (fitted.asked, fitted.not_asked) == ((), ("planted-a (planted)",))
    assert fitted.link is None


def test_questions_that_tell_levels_wrongly_give_no_number() -> None:
    turned = {"0": "4", "4": "0", "1": "3", "3": "1"}
    asked = asked_of(
        [
            made_up_asked(lambda levels: by_link(turned.get(levels, levels)), "embedded", "atlas"),
            made_up_asked(by_link, "embedded", "entities"),
        ]
    )
    found = outcome_of(made_up_cells(MATTERS, 0), "accuracy", asked)
    assert not found.calibrated
    assert found.why.startswith("told by questions alone it does not beat a constant")


def test_too_few_models_are_said() -> None:
    two = {key: sizes for key, sizes in DESIGN.items() if key[0] in {"embedded", "planted-a"}}
    found = outcome_of(made_up_cells(MATTERS, 0, two), "accuracy", ASKED)
    assert found.why == (
        "sets that differ in level alone are there of 2 models and 12 kinds; 3 models and 4 kinds "
        "are needed to leave one out"
    )


def test_sets_alone_in_their_block_or_without_an_outcome_do_not_count() -> None:
    cells = made_up_cells(MATTERS, 0)
    alone = cells.filter(levels="natural", size=60).with_columns(size=pl.lit(1920, pl.Int64))
    fitted = fit(pl.concat([cells, alone]), ASKED, {})
    assert fitted.sizes == (60, 240)
    assert fitted.sets == cells.height
    missing = cells.with_columns(known=pl.when(study="atlas").then(None).otherwise("known"))
    assert fit(missing, ASKED, {}).outcomes["known"].sets == cells.filter(
        pl.col("study") != "atlas"
    ).height  # fmt: skip


def test_what_is_written_holds_what_it_was_fitted_on_and_is_read_as_it_was() -> None:
    fitted = fit(made_up_cells(MATTERS, 0), ASKED, {"b.parquet": "22", "a.parquet": "11"})
    assert [(each.name, each.sha256) for each in fitted.sources] == [
        ("a.parquet", "11"),
        ("b.parquet", "22"),
    ]
    assert fitted.models == ("embedded", "planted-a", "planted-b", "planted-c")
    assert fitted.studies == ("atlas", "entities", "planted")
    assert fitted.recipes == (RECIPE,)
    assert fitted.trainings == 3 * fitted.sets
    assert fitted.reference is not None
    assert sum(fitted.reference) == pytest.approx(1.0, abs=1e-5)
    read = Fitted.model_validate_json(fitted.model_dump_json())
    assert read == fitted
    assert read.fingerprint == fitted.fingerprint
    assert fit(made_up_cells(MATTERS, 1), ASKED, {}).fingerprint != fitted.fingerprint


def test_the_shipped_calibration_keeps_the_rule() -> None:
    found = shipped()
    assert set(found.outcomes) == {"accuracy", "known"}
    for outcome in found.outcomes.values():
        assert outcome.calibrated == (outcome.why == "")
        if outcome.calibrated:
            assert outcome.groups is not None
            assert outcome.models is not None
            assert outcome.groups.error < outcome.groups.constant
            assert outcome.models.error < outcome.models.constant
    assert all(len(each.sha256) == 64 for each in found.sources)
