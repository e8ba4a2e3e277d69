"""Means over facts and seeds of one measure, or of how it differs between two ways of training.

Knows tables of answers and of drift; estimates are those of `core/replicates.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sixtyfold.core.accuracy import merged_levels
from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.stage import Finished

ACCURACY = "accuracy"
_COLUMNS = ("fact_id", "domain", "relation", "level", "value")


class Average(NamedTuple):
    """A mean over facts and seeds.

    domain: `in` or `out`.
    over: `relations` (mean of the relations' accuracies), `levels` (mean of the five levels'; where
        one has fewer than 20 facts, neighbours count as one and are named: `levels 0, 1, 2-4`) or
        `facts`.
    part: `level k` where it is of that level's facts alone, or None.
    value: an accuracy in 0..1, a difference of two in -1..1, or the mean of a measure of drift in
        its own unit.
    low, high: 95% interval over facts and seeds; over facts alone with one seed.
    p: two-sided, that the difference is 0; None where nothing is compared.
    facts: how many.
    """

    domain: str
    over: str
    part: str | None
    value: float
    low: float
    high: float
    p: float | None
    facts: int


def measured(result: Finished, measure: str) -> pl.DataFrame:
    """Return one measure per fact: fact_id, domain, relation, level, value; sorted by fact_id.

    Args:
        result: of `evaluate` for the accuracy, of `drift` for its measures.
        measure: which.

    Raises:
        BadInput: there is no such measure.
    """
    if measure == ACCURACY:
        table = result.table("answers").with_columns(value=pl.col("hit").cast(pl.Float64))
        return table.select(_COLUMNS).sort("fact_id")
    from sixtyfold.stages.drift.summary import MEASURES, with_changes

    if measure not in MEASURES:
        raise BadInput(
            f"--measure {measure} was given{suggestion(measure, MEASURES)}; allowed: {ACCURACY}, "
            f"{', '.join(MEASURES)}"
        )
    table = with_changes(result.table("drift")).with_columns(value=pl.col(measure))
    return table.select(_COLUMNS).drop_nulls("value").sort("fact_id")


def averages(
    after: Sequence[pl.DataFrame], before: Sequence[pl.DataFrame] | None, measure: str
) -> Iterator[Average]:
    """Yield the means of one way of training, or of its difference to another.

    Args:
        after: what `measured` returned, one per seed.
        before: the same seeds trained otherwise, or None.
        measure: which measure it is. Drift is averaged over facts alone.

    Raises:
        BadInput: the tables are not of the same facts.
    """
    facts = after[0].drop("value")
    for other in [*after, *(before or [])]:
        if not other["fact_id"].equals(facts["fact_id"]):
            raise BadInput("the results are not of the same facts, so they cannot be paired")
    after_RN = _values(after)
    before_RN = np.zeros_like(after_RN) if before is None else _values(before)
    for average in _groups(facts, before_RN, after_RN, measure):
        yield average if before is not None else _alone(average, measure)


def _alone(average: Average, measure: str) -> Average:
    """Return what nothing is compared with: without a test, and no accuracy is below 0."""
    low = max(0.0, average.low) if measure == ACCURACY else average.low
    return average._replace(low=low, p=None)


def _values(tables: Sequence[pl.DataFrame]) -> NDArray[np.float64]:
    return np.stack([table["value"].to_numpy() for table in tables])


def _groups(
    facts: pl.DataFrame,
    before_RN: NDArray[np.float64],
    after_RN: NDArray[np.float64],
    measure: str,
) -> Iterator[Average]:
    for domain in DOMAINS:
        inside_N = (facts["domain"] == domain).to_numpy()
        if not inside_N.any():
            continue
        rows = facts.filter(inside_N)
        before, after = before_RN[:, inside_N], after_RN[:, inside_N]
        if measure == ACCURACY:
            relations = rows["relation"].to_list()
            yield Average(domain, "relations", None, *_of_accuracies(before, after, relations))
        yield Average(domain, "facts", None, *_of_facts(before, after, measure))
        yield from _by_level(rows["level"], domain, before, after, measure)


def _by_level(
    levels: pl.Series,
    domain: str,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    measure: str,
) -> Iterator[Average]:
    counts = {level: int((levels == level).sum()) for level in LEVELS}
    groups = merged_levels(list(counts.values()))
    if measure == ACCURACY and not levels.null_count() and len(groups) > 1:
        of_level = {level: str(group) for group in groups for level in group}
        strata = [of_level[level] for level in levels]
        yield Average(domain, _named(groups), None, *_of_accuracies(before, after, strata))
    for level, count in counts.items():
        if count:
            of_N = (levels == level).fill_null(False).to_numpy()
            figures = _of_facts(before[:, of_N], after[:, of_N], measure)
            yield Average(domain, "facts", f"level {level}", *figures)


def _named(groups: Sequence[Sequence[int]]) -> str:
    if len(groups) == len(LEVELS):
        return "levels"
    spans = (f"{each[0]}-{each[-1]}" if len(each) > 1 else f"{each[0]}" for each in groups)
    return f"levels {', '.join(spans)}"


_Figures = tuple[float, float, float, float | None, int]


def _of_facts(before: NDArray[np.float64], after: NDArray[np.float64], measure: str) -> _Figures:
    from sixtyfold.core.replicates import replicated_mean

    if measure == ACCURACY:
        return _of_accuracies(before, after, ["all"] * after.shape[1])
    found = replicated_mean(after - before)
    return found.value, *found.two_sided(), after.shape[1]


def _of_accuracies(
    before: NDArray[np.float64], after: NDArray[np.float64], strata: list[str]
) -> _Figures:
    from sixtyfold.core.replicates import replicated_difference

    found = replicated_difference(before > 0, after > 0, strata)
    return found.value, *found.two_sided().cut(), len(strata)
