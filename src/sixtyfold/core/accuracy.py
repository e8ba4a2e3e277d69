"""Accuracy out of an answers table: macros, shares, tables per relation and level.

Knows the columns of the answers table (design §3) and the definitions of design §6 "Accuracy".
Computes no answers and compares no models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.statistics import Estimate, macro, wilson

LEAST_PER_LEVEL = 20
"""A level with fewer facts makes the macro over levels undefined (design §6)."""

ANSWERS_SCHEMA = pl.Schema(
    {
        "fact_id": pl.String(),
        "relation": pl.String(),
        "domain": pl.String(),
        "split": pl.String(),
        "level": pl.Int8(),
        "prompt": pl.String(),
        "answer": pl.String(),
        "hit": pl.Boolean(),
        "exact": pl.Boolean(),
        "f1": pl.Float64(),
        "ended": pl.Boolean(),
    }
)


class Accuracy(NamedTuple):
    """How well one model answered the facts of one domain.

    None stands where a number is not defined: no facts, or a level with fewer than 20.
    """

    macro_relation: Estimate | None
    """Mean over relations of the share of hits; interval for these relations."""
    macro_level: Estimate | None
    """Mean over the five levels; relative to one base model, so never comparable across bases."""
    micro: Estimate | None
    """Share of hits over all facts."""
    exact: Estimate | None
    """Share of answers that are the accepted answer and nothing else; over all facts."""
    ended: Estimate | None
    """Share of answers that the model ended by itself; over all facts."""

    def rounded(self) -> dict[str, dict[str, float | int] | None]:
        """Return the form that JSON files carry."""
        return {name: part and part.rounded() for name, part in self._asdict().items()}


def check_answers(frame: pl.DataFrame, origin: str) -> pl.DataFrame:
    """Return the answers in schema order, sorted by key.

    Args:
        frame: rows with at least the columns of `ANSWERS_SCHEMA`; `level` may be missing.
        origin: where the rows come from, for the message.

    Raises:
        BadInput: a column is missing, of another type, a key is doubled or a `hit` empty.
    """
    if "level" not in frame.columns:
        frame = frame.with_columns(level=pl.lit(None, dtype=pl.Int8))
    missing = [name for name in ANSWERS_SCHEMA if name not in frame.columns]
    if missing:
        raise BadInput(
            f"{origin}: an answers table needs the columns {', '.join(ANSWERS_SCHEMA)}; "
            f"missing here: {', '.join(missing)}; make it with 'sixtyfold evaluate'"
        )
    try:
        frame = frame.select(list(ANSWERS_SCHEMA)).cast(ANSWERS_SCHEMA).sort("fact_id")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"{origin}: a column has another type than {dict(ANSWERS_SCHEMA)} ({reason}); "
            "make the table with 'sixtyfold evaluate'"
        ) from None
    doubled = frame.filter(pl.col("fact_id").is_duplicated())
    if not doubled.is_empty():
        raise BadInput(
            f"{origin}: fact {doubled['fact_id'][0]} stands twice; keep one row per fact"
        )
    if frame["hit"].null_count() > 0:
        raise BadInput(
            f"{origin}: {frame['hit'].null_count()} rows have no 'hit'; fill or drop them"
        )
    return frame


def accuracy(answers: pl.DataFrame, domain: str | None = None) -> Accuracy:
    """Return the accuracies of one model.

    Args:
        answers: an answers table.
        domain: "in", "out", or None for all rows.

    >>> rows = {"relation": ["a", "a", "b"], "level": [4, 4, 0], "domain": ["in"] * 3,
    ...         "hit": [True, False, True], "exact": [True, False, False], "ended": [True] * 3}
    >>> result = accuracy(pl.DataFrame(rows), "in")
    >>> result.macro_relation.value, round(result.micro.value, 3), result.macro_level
    (0.75, 0.667, None)
    """
    rows = answers if domain is None else answers.filter(pl.col("domain") == domain)
    relations = counts(rows, "relation")
    levels = {row["level"]: row for row in counts(rows, "level").to_dicts()}
    per_level = [levels.get(level, {"hits": 0, "n": 0}) for level in LEVELS]
    return Accuracy(
        macro(relations["hits"].to_list(), relations["n"].to_list()),
        macro([row["hits"] for row in per_level], [row["n"] for row in per_level], LEAST_PER_LEVEL),
        share(rows["hit"]),
        share(rows["exact"]),
        share(rows["ended"]),
    )


def share(values: pl.Series) -> Estimate | None:
    """Return the share of true values with Wilson's interval; None for an empty column."""
    return wilson(int(values.sum() or 0), values.len())


def counts(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Count facts and hits per value of a column.

    Returns:
        Columns `column`, n, hits, sorted by `column`; rows where it is null are left out.
    """
    return (
        rows.filter(pl.col(column).is_not_null())
        .group_by(column)
        .agg(n=pl.len().cast(pl.Int64), hits=pl.col("hit").sum().cast(pl.Int64))
        .sort(column)
    )


def by_group(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the share of hits per value of a column with Wilson's interval.

    Returns:
        Columns `column`, n, hits, value, low, high, sorted by `column`.
    """
    table = counts(rows, column)
    estimates = [wilson(hits, n) for hits, n in zip(table["hits"], table["n"], strict=True)]
    bounds = {
        name: [None if part is None else getattr(part, name) for part in estimates]
        for name in ("value", "low", "high")
    }
    return table.with_columns(
        pl.Series(name, values, dtype=pl.Float64) for name, values in bounds.items()
    )


def merged_levels(sizes: Sequence[int], least: int = LEAST_PER_LEVEL) -> list[list[int]]:
    """Join neighbouring levels until each group has `least` facts.

    From level 0 upwards a group takes the next level until it is large enough; a last group that
    stays too small joins the one before.

    Args:
        sizes: facts per level, level 0 first.
        least: facts a group needs.

    >>> merged_levels([50, 8, 9, 30, 5])
    [[0], [1, 2, 3, 4]]
    >>> merged_levels([20, 20, 20, 20, 20])
    [[0], [1], [2], [3], [4]]
    """
    groups: list[list[int]] = [[]]
    filled = 0
    for level, size in enumerate(sizes):
        if filled >= least:
            groups.append([])
            filled = 0
        groups[-1].append(level)
        filled += size
    if len(groups) > 1 and filled < least:
        last = groups.pop()
        groups[-1].extend(last)
    return groups


def majority_baseline(facts: pl.DataFrame, tested: pl.DataFrame) -> Estimate | None:
    """Return the macro over relations of always giving a relation's most common answer.

    The most common first object of the training split is the answer; where a relation has no
    training facts (out-of-domain relations are only tested) that of the tested facts themselves
    stands in, which favours the baseline. A hit: it is among the accepted objects, up to case and
    Unicode form. Ties go to the answer that sorts first.

    Args:
        facts: the fact table.
        tested: the tested facts, columns fact_id (others are not read).
    """
    test = facts.join(tested.select("fact_id"), on="fact_id", how="semi")
    hits, totals = [], []
    for (relation,), rows in sorted(test.group_by("relation"), key=lambda item: item[0]):
        same = facts.filter((pl.col("relation") == relation) & (pl.col("split") == "train"))
        answer = _most_common(same if not same.is_empty() else rows)
        accepted = [{normalise(name) for name in names} for names in rows["objects"]]
        hits.append(sum(answer in names for names in accepted))
        totals.append(rows.height)
    return macro(hits, totals)


def _most_common(facts: pl.DataFrame) -> str:
    times = Counter(normalise(names[0]) for names in facts["objects"])
    return min(times, key=lambda answer: (-times[answer], answer))
