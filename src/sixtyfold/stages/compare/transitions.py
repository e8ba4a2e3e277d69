"""Fact by fact: kept, lost, gained, never.

Joins two answer tables; knows nothing of intervals and tests (`comparison.py`).
"""

from __future__ import annotations

import polars as pl

from sixtyfold.core.errors import BadInput

STATES = ("kept", "lost", "gained", "never")


def transitions(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Join two answer tables on the facts that both hold.

    Args:
        before: answers of the first model, `ANSWERS_SCHEMA`.
        after: answers of the second model.

    Returns:
        Columns fact_id, relation, level, domain, split, hit_before, hit_after, state,
        answer_before, answer_after; sorted by fact_id. Relation, domain and level known to one
        table only are taken from it; where neither says, all is one relation `all`, domain `in`.

    Raises:
        BadInput: the tables share no fact, or one shared fact has two relations or domains.
    """
    taken = ["fact_id", "relation", "domain", "level", "hit", "answer"]
    joined = before.select([*taken, "split"]).join(
        after.select(taken), on="fact_id", how="inner", suffix="_after"
    )
    if joined.is_empty():
        raise BadInput(
            f"the two answer tables ({before.height} and {after.height} facts) share no fact_id; "
            "give answers to the same facts"
        )
    other = joined.filter(
        (pl.col("relation") != pl.col("relation_after"))
        | (pl.col("domain") != pl.col("domain_after"))
    )
    if not other.is_empty():
        raise BadInput(
            f"fact {other['fact_id'][0]} has another relation or domain in the second table; "
            "give answers to the same fact set"
        )
    hit, hit_after = pl.col("hit"), pl.col("hit_after")
    state = (
        pl.when(hit & hit_after)
        .then(pl.lit("kept"))
        .when(hit)
        .then(pl.lit("lost"))
        .when(hit_after)
        .then(pl.lit("gained"))
        .otherwise(pl.lit("never"))
    )
    return joined.select(
        "fact_id",
        pl.coalesce("relation", "relation_after", pl.lit("all")).alias("relation"),
        pl.coalesce("level", "level_after").alias("level"),
        pl.coalesce("domain", "domain_after", pl.lit("in")).alias("domain"),
        "split",
        hit.alias("hit_before"),
        hit_after,
        state.alias("state"),
        pl.col("answer").alias("answer_before"),
        "answer_after",
    ).sort("fact_id")


def state_counts(rows: pl.DataFrame) -> dict[str, int]:
    """Count the rows of a transitions table by state.

    >>> state_counts(pl.DataFrame({"state": ["kept", "lost", "kept"]}))
    {'kept': 2, 'lost': 1, 'gained': 0, 'never': 0}
    """
    found = dict(rows["state"].value_counts().iter_rows())
    return {state: int(found.get(state, 0)) for state in STATES}


def counts_by(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Count kept, lost, gained and never per value of a column.

    Returns:
        Columns `column`, kept, lost, gained, never, n; sorted by `column`, nulls left out.
    """
    return (
        rows.filter(pl.col(column).is_not_null())
        .group_by(column)
        .agg(
            *((pl.col("state") == state).sum().cast(pl.Int64).alias(state) for state in STATES),
            n=pl.len().cast(pl.Int64),
        )
        .sort(column)
    )
