"""Means of drift with intervals: over all facts, by level, domain, relation and position.

The unit is the fact: at one position a fact counts once, so the interval is t over facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from sixtyfold.core.statistics import mean_and_half_width

LEAST = 20
"""Fewer facts than this have no interval."""

MEASURES = {
    "kl_top10": "P2: KL(tuned ‖ base) over the tuned model's top 10, base asked by cloze",
    "base_mass_top10": "probability the base, asked by cloze, gives these 10",
    "kl_tuned_base": "KL(tuned ‖ base), whole vocabulary, same question",
    "kl_base_tuned": "KL(base ‖ tuned), whole vocabulary, same question",
    "js": "Jensen-Shannon, whole vocabulary, same question",
    "answer_logp_change": "log-probability of the right answer's first token, tuned − base",
    "whole_logp_change": "log-probability of the whole right answer, tuned − base",
}
POSITION_MEASURES = ("kl_tuned_base", "kl_base_tuned", "js", "logp_change")
SPLITS = ("level", "domain", "relation")
SUMMARY_SCHEMA = pl.Schema(
    {
        "split": pl.String(),
        "group": pl.String(),
        "measure": pl.String(),
        "n": pl.Int64(),
        "mean": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "median": pl.Float64(),
    }
)


def with_changes(facts: pl.DataFrame) -> pl.DataFrame:
    """Return the `drift` table with what changed in the right answer's log-probability."""
    return facts.with_columns(
        answer_logp_change=pl.col("answer_logp_tuned") - pl.col("answer_logp_base"),
        whole_logp_change=pl.col("whole_logp_tuned") - pl.col("whole_logp_base"),
    )


def drift_summary(facts: pl.DataFrame, positions: pl.DataFrame) -> pl.DataFrame:
    """Return the table `drift_summary`.

    Args:
        facts: the table `drift`.
        positions: the table `drift_positions`.

    Returns:
        Columns split (all, level, domain, relation, position), group, measure, n (facts), mean,
        low, high (95%, null under 20 facts), median.
    """
    facts = with_changes(facts)
    tokens = positions.with_columns(logp_change=pl.col("logp_tuned") - pl.col("logp_base"))
    rows = list(_rows("all", "all", facts, tuple(MEASURES)))
    for split in SPLITS:
        for (group,), part in _groups(facts, split):
            rows += _rows(split, str(group), part, tuple(MEASURES))
    for (group,), part in _groups(tokens, "position"):
        rows += _rows("position", str(group), part, POSITION_MEASURES)
    return pl.DataFrame(rows, schema=SUMMARY_SCHEMA)


def _groups(rows: pl.DataFrame, column: str) -> list[tuple[tuple[Any, ...], pl.DataFrame]]:
    known = rows.filter(pl.col(column).is_not_null())
    return sorted(known.group_by(column, maintain_order=True), key=lambda item: item[0])


def _rows(
    split: str, group: str, part: pl.DataFrame, measures: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    for measure in measures:
        values = part[measure].to_numpy()
        mean, low, high = float(values.mean()), None, None
        if len(values) >= LEAST:
            mean, half = mean_and_half_width(values)
            low, high = mean - half, mean + half
        yield {
            "split": split,
            "group": group,
            "measure": measure,
            "n": len(values),
            "mean": mean,
            "low": low,
            "high": high,
            "median": float(np.median(values)),
        }
