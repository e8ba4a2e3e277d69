"""The receipt of a training set: what is in it, and proof that nothing held out is."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise


def receipt(
    chosen: pl.DataFrame, pool: pl.DataFrame, facts: pl.DataFrame, settings: dict[str, Any]
) -> dict[str, Any]:
    """Describe a selection.

    Args:
        chosen: selected facts with `level`.
        pool: the training facts they were chosen from, with `level`.
        facts: the whole fact table, with dev and test.
        settings: size, levels and seed as asked for.
    """
    counts = chosen.group_by("level", "relation").len().sort("level", "relation")
    return {
        **settings,
        "examples": chosen.height,
        "pool": pool.height,
        "pool_not_in_domain_or_unprobed": int(
            facts.filter(pl.col("split") == "train").height - pool.height
        ),
        "per_level": _counts(chosen, "level"),
        "per_relation": _counts(chosen, "relation"),
        "per_level_and_relation": counts.to_dicts(),
        "pool_per_level": _counts(pool, "level"),
        "most_common_answer": _most_common(chosen),
        "pool_most_common_answer": _most_common(pool),
        "leaks": leaks(chosen, facts),
    }


def leaks(chosen: pl.DataFrame, facts: pl.DataFrame) -> dict[str, int]:
    """Count selected facts whose key or normalised question stands in dev or test.

    Raises:
        BadInput: there is one; the message names it.
    """
    held = facts.filter(pl.col("split").is_in(["dev", "test"]))
    keys = set(held["fact_id"])
    questions = {normalise(question) for question in held["question"]}
    for row in chosen.iter_rows(named=True):
        if row["fact_id"] in keys or normalise(row["question"]) in questions:
            raise BadInput(
                f"training fact {row['fact_id']} ({row['question']!r}) also stands in dev or test; "
                "build the facts again so that each stands in one split"
            )
    return {"facts_shared": 0, "questions_shared": 0, "held_out_facts_checked": held.height}


def _counts(rows: pl.DataFrame, column: str) -> dict[str, int]:
    counted = rows.group_by(column).len().sort(column)
    return {str(key): int(count) for key, count in counted.iter_rows()}


def _most_common(rows: pl.DataFrame) -> dict[str, Any]:
    answers = rows.select(answer=pl.col("objects").list.first())
    top = answers.group_by("answer").len().sort(["len", "answer"], descending=[True, False])
    answer, count = top.row(0)
    return {"answer": answer, "share": round(count / rows.height, 6)}
