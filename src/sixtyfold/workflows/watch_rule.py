"""Which step's weights a watched training ends with: the rule, apart from files and models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from sixtyfold.core.levels import LEVELS


class Judged(NamedTuple):
    """What a rule sees of a step: shares in 0..1, None where there is no such fact."""

    step: int
    accuracy: float
    level_4: float | None


def judged(table: pl.DataFrame) -> list[Judged]:
    """Return what the rule sees of each step of a watch's table, in order."""
    return [
        Judged(
            step,
            next(iter(rows.filter(pl.col("group") == "in")["value"]), 0.0),
            next(iter(rows.filter(pl.col("group") == f"level {LEVELS[-1]}")["value"]), None),
        )
        for (step,), rows in table.group_by("step", maintain_order=True)
    ]


def choose(steps: Sequence[Judged], lose_at_most: float | None) -> Judged:
    """Return the step that the rule keeps, decided step by step as while training.

    >>> choose([Judged(0, .1, .5), Judged(5, .6, .9), Judged(9, .7, .6)], 10).step
    5
    >>> choose([Judged(0, .1, .5), Judged(5, .6, .9), Judged(9, .7, .6)], None).step
    9
    """
    kept: Judged | None = None
    for place, each in enumerate(steps):
        kept = next_kept(kept, each, steps[:place], lose_at_most)
    if kept is None:
        raise ValueError("there is no step to choose from")
    return kept


def next_kept(
    kept: Judged | None, each: Judged, earlier: Sequence[Judged], lose_at_most: float | None
) -> Judged:
    """Return which of two steps is kept.

    A step is allowed if its accuracy on level 4 is at most `lose_at_most` points below the highest
    seen until then. It takes the place of the kept one if it is allowed and better, or if the kept
    one is no longer allowed. Weights of other steps are gone, so the choice is made in order.

    Args:
        kept: the step kept until now; None if there is none.
        each: the step just judged.
        earlier: the steps before it.
        lose_at_most: points; None allows every step.
    """
    if kept is None:
        return each
    highest = max(part.level_4 or 0.0 for part in (*earlier, kept, each))
    if not _allowed(each, highest, lose_at_most):
        return kept
    better = each.accuracy > kept.accuracy
    return each if better or not _allowed(kept, highest, lose_at_most) else kept


def _allowed(each: Judged, highest: float, lose_at_most: float | None) -> bool:
    if lose_at_most is None or each.level_4 is None:
        return True
    return 100 * (highest - each.level_4) <= lose_at_most + 1e-9
