"""From results of studies to cells."""

from __future__ import annotations

import polars as pl
import pytest

from made_up_trainings import Truth, as_results, made_up_cells
from sixtyfold.core.errors import BadInput
from sixtyfold.workflows.check.calibration.cells import OUTCOMES, cells_of

CELLS = made_up_cells(Truth((-0.1, 0.0)), seed=0)


def test_cells_come_back_from_the_results_that_are_made_of_them() -> None:
    found = cells_of([as_results(CELLS, seeds=3)])
    assert found.height == CELLS.height
    same = ["study", "model", "recipe", "size", "levels", "seeds"]
    assert found.select(same).rows() == CELLS.select(same).rows()
    for name in ("level_0", "levels_1_2", "levels_3_4", *OUTCOMES):
        assert found[name].to_list() == pytest.approx(CELLS[name].to_list()), name


def test_several_tables_and_grids_that_share_trainings_count_once() -> None:
    one, two = CELLS.filter(study="atlas"), CELLS.filter(study="planted")
    results = as_results(one)
    again = results.with_columns(grid=pl.lit("other grid"))
    found = cells_of([results, again, as_results(two)])
    assert found.height == one.height + two.height
    assert set(found["seeds"]) == {2}


def test_sets_trained_in_different_ways_stand_in_different_blocks() -> None:
    results = as_results(CELLS.filter(study="atlas"))
    lora = results.with_columns(
        grid=pl.lit("lora"),
        options=pl.lit('{"lora_rank": 16}'),
        key=pl.concat_str(pl.lit("lora-"), "key"),
    )
    one_rate = results.filter(learning_rate=1e-4).with_columns(
        grid=pl.lit("papers"), key=pl.concat_str(pl.lit("papers-"), "key")
    )
    found = cells_of([results, lora, one_rate])
    assert found["recipe"].unique().sort().to_list() == [
        "learning rate 0.0001",
        "learning rate chosen on dev from 0.0001, 0.0003",
        "learning rate chosen on dev from 0.0001, 0.0003, lora_rank 16",
    ]
    assert found.height == 3 * CELLS.filter(study="atlas").height


def test_trainings_without_levels_are_no_cells_and_small_levels_no_outcomes() -> None:
    atlas = CELLS.filter(study="atlas")
    results = as_results(atlas, tested=9)  # 18 facts of levels 3 and 4
    assert cells_of([results])["known"].null_count() == atlas.height
    assert cells_of([as_results(atlas, tested=10)])["known"].null_count() == 0
    without = results.filter(~pl.col("part").str.starts_with("level ").fill_null(value=False))
    assert cells_of([without]).is_empty()


def test_nothing_of_the_trainings_that_were_not_chosen_counts() -> None:
    results = as_results(CELLS.filter(study="atlas"))
    wrong = results.with_columns(value=pl.when("chosen").then("value").otherwise(pl.lit(0.99)))
    assert cells_of([wrong]).equals(cells_of([results]))


def test_a_table_of_something_else_is_refused() -> None:
    with pytest.raises(BadInput, match=r"lacks study, grid, .* study results --out"):
        cells_of([pl.DataFrame({"fact_id": ["a"]})])


def test_studies_that_share_trainings_are_refused() -> None:
    results = as_results(CELLS.filter(study="atlas"))
    again = results.with_columns(study=pl.lit("first try"))
    with pytest.raises(BadInput, match="the studies atlas and first try share 12 trainings; give"):
        cells_of([results, again])
    assert cells_of([results, results]).equals(cells_of([results]))
