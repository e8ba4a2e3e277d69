"""What the console says of concentration."""

from __future__ import annotations

import polars as pl

from sixtyfold.stages.diff.words import concentration_table


def test_a_ranking_that_shuffling_leaves_alone_has_no_shuffled_figure() -> None:
    table = pl.DataFrame(
        {
            "measure": ["relative", "absolute"],
            "top_percent": [1.0, 1.0],
            "share": [0.7, 0.05],
            "null_permutation": [0.71, 0.05],
            "null_gaussian": [0.72, 0.04],
        }
    )
    changes = {"sum_relative": 1.0, "sum_relative_near_zero": 0.0}
    shown = concentration_table(table, changes)
    assert shown["shuffled"].to_list() == ["71.00%", "–"]
    assert shown["Gaussian"].to_list() == ["72.00%", "4.00%"]
