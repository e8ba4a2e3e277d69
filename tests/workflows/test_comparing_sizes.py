"""Which sizes of a ladder are enough and which hurt, from made-up answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from sixtyfold.workflows.ladder import answer, ladder_table


def answers(hits: dict[int, np.ndarray[Any, Any]], split: str = "test") -> pl.DataFrame:
    """Make an answers table of hits [replicas, facts] by size; two relations."""
    rows = [
        {
            "size": size,
            "replica": replica,
            "fact_id": f"f{fact:03d}",
            "relation": "ab"[fact % 2],
            "domain": "in",
            "split": split,
            "level": None,
            "hit": bool(hit),
            "exact": bool(hit),
            "ended": True,
        }
        for size, grid in hits.items()
        for replica, row in enumerate(grid)
        for fact, hit in enumerate(row)
    ]
    return pl.DataFrame(rows)


def table(test: dict[int, Any], dev: dict[int, Any], delta: float = 0.05) -> pl.DataFrame:
    both = pl.concat([answers(test), answers(dev, "dev")])
    return ladder_table(both, dict.fromkeys(test, 1e-4), delta)


def some(share: float, facts: int = 400) -> np.ndarray[Any, Any]:
    """Hits of the first facts, equal in three replicas."""
    row = np.arange(facts) < share * facts
    return np.stack([row] * 3)


def test_smallest_size_near_the_best_is_enough() -> None:
    sizes = {60: some(0.79), 240: some(0.8), 960: some(0.8)}
    found = table(sizes, {60: some(0.7), 240: some(0.9), 960: some(0.9)})
    # 240 and 960 are equal on dev: the smaller is the best; 60 is 1 point below it on test.
    told = answer(found, 5)
    assert told == {"enough": 60, "best": 240, "hurts": [], "delta_points": 5}
    below = found.filter(pl.col("size") == 60).row(0, named=True)
    assert below["below_best"] == pytest.approx(0.01)
    assert below["low"] < 0.01 < below["high"] < 0.05


def test_a_size_below_one_that_is_not_enough_is_not_asked() -> None:
    sizes = {60: some(0.8), 120: some(0.5), 240: some(0.8)}
    found = table(sizes, {60: some(0.1), 120: some(0.2), 240: some(0.9)})
    assert found["enough"].to_list() == [False, False, True]


def test_more_that_hurts_is_said_with_its_p() -> None:
    sizes = {60: some(0.8), 960: some(0.6)}
    found = table(sizes, {60: some(0.9), 960: some(0.8)})
    assert answer(found, 5)["hurts"] == [960]
    assert found["p_worse"].to_list()[0] is None
    assert found["p_worse"].to_list()[1] < 1e-6
