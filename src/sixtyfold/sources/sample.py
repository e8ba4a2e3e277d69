"""A sample of a fact set: so many facts of each split, balanced over relations."""

from __future__ import annotations

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order


def sample_split(facts: pl.DataFrame, split: str, size: int, seed: int) -> pl.DataFrame:
    """Return at most `size` facts of a split, taken from its relations in turn.

    Training and dev facts are taken in domain only, test facts from every relation. A relation
    that runs out leaves its turns to the others. Each relation is taken in a seeded order that
    depends on the facts' keys alone, so a larger sample contains a smaller one as long as no
    relation runs out.

    Raises:
        BadInput: the split holds no such fact.
    """
    rows = facts.filter(pl.col("split") == split)
    if split != "test":
        rows = rows.filter(pl.col("domain") == "in")
    if rows.is_empty():
        raise BadInput(
            f"--{split} {size} was given and the facts hold no {split} fact in domain; "
            "give more facts, with that split or without any so that they are split for you"
        )
    rank = pl.Series("rank", seeded_order(rows["fact_id"].to_list(), seed)).arg_sort()
    turns = (
        rows.with_columns(rank=rank)
        .sort("rank")
        .with_columns(turn=pl.int_range(pl.len()).over("relation"))
    )
    taken = turns.sort("turn", "relation").head(size)
    return taken.drop("rank", "turn").sort("fact_id")
