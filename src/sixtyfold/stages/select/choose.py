"""Choose facts: balanced over relations, seeded, nested.

For one seed the choice of a smaller size is the beginning of the choice of a larger one: facts are
taken in rounds, one from each relation in turn, each relation in its own seeded order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order


def choose(
    pool: pl.DataFrame,
    size: int,
    seed: int,
    short: Literal["error", "fill"],
    relations: Sequence[str],
) -> pl.DataFrame:
    """Return `size` facts of the pool in the order they were taken.

    Args:
        pool: candidate facts.
        size: how many.
        seed: decides which; row order does not.
        short: what to do when a relation supplies fewer than its share, so that the counts of two
            relations would differ by more than one.
        relations: the relations to balance over; one of them may have no fact in the pool.

    Raises:
        BadInput: the pool is too small, or a relation is short and `short` is error.
    """
    if size > pool.height:
        raise BadInput(
            f"--size {size} is larger than the pool of {pool.height} facts of the allowed levels; "
            "lower it, allow more levels or probe more training facts"
        )
    orders = {
        name: _in_seeded_order(pool.filter(pl.col("relation") == name), seed) for name in relations
    }
    turn = seeded_order(relations, seed)
    chosen = _in_rounds([orders[relations[index]] for index in turn], size)
    taken = {name: int((chosen["relation"] == name).sum()) for name in relations}
    scarce = [name for name in relations if taken[name] < max(taken.values()) - 1]
    if scarce and short == "error":
        what = ", ".join(f"{name} has {taken[name]}" for name in scarce)
        raise BadInput(
            f"--size {size} over {len(relations)} relations needs about "
            f"{-(-size // len(relations))} facts of each; "
            f"{what}; use --short fill, other --levels or a smaller --size"
        )
    return chosen


def _in_seeded_order(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    return rows[seeded_order(rows["fact_id"].to_list(), seed)]


def _in_rounds(groups: Sequence[pl.DataFrame], size: int) -> pl.DataFrame:
    longest = max(group.height for group in groups)
    taken = [
        group[round_] for round_ in range(longest) for group in groups if round_ < group.height
    ]
    return pl.concat(taken[:size])
