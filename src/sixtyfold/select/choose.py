"""Choose facts: balanced over relations, seeded, nested.

For one seed the choice of a smaller size is part of the choice of a larger one as long as no
relation runs out: facts are taken in rounds, one from each relation in turn, each relation in its
own seeded order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order


def choose(
    pool: pl.DataFrame, size: int, seed: int, short: Literal["error", "fill"]
) -> pl.DataFrame:
    """Return `size` facts of the pool in the order they were taken.

    Args:
        pool: candidate facts.
        size: how many.
        seed: decides which; row order does not.
        short: what to do when a relation supplies fewer than its share.

    Raises:
        BadInput: the pool is too small, or a relation is short and `short` is error.
    """
    if size > pool.height:
        raise BadInput(
            f"--size {size} is larger than the pool of {pool.height} facts of the allowed levels; "
            "lower it, allow more levels or probe more training facts"
        )
    relations = pool["relation"].unique().sort().to_list()
    orders = {
        name: _in_seeded_order(pool.filter(pl.col("relation") == name), seed) for name in relations
    }
    share = -(-size // len(relations))
    scarce = {name: rows.height for name, rows in orders.items() if rows.height < share - 1}
    if scarce and short == "error":
        what = ", ".join(f"{name} has {count}" for name, count in sorted(scarce.items()))
        raise BadInput(
            f"--size {size} over {len(relations)} relations needs about {share} facts of each; "
            f"{what}; use --short fill, other --levels or a smaller --size"
        )
    turn = seeded_order(relations, seed)
    return _in_rounds([orders[relations[index]] for index in turn], size)


def _in_seeded_order(rows: pl.DataFrame, seed: int) -> pl.DataFrame:
    return rows[seeded_order(rows["fact_id"].to_list(), seed)]


def _in_rounds(groups: Sequence[pl.DataFrame], size: int) -> pl.DataFrame:
    longest = max(group.height for group in groups)
    taken = [
        group[round_] for round_ in range(longest) for group in groups if round_ < group.height
    ]
    return pl.concat(taken[:size])
