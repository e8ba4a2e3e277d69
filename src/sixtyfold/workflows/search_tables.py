"""The tables of a search on dev: its candidates, and every family's curve."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import polars as pl

from sixtyfold.core.paired_tests import Difference
from sixtyfold.core.statistics import Estimate
from sixtyfold.stages.compare.comparison import macro_difference
from sixtyfold.stages.compare.transitions import transitions
from sixtyfold.workflows.search_candidates import Listed
from sixtyfold.workflows.search_rounds import Judged
from sixtyfold.workflows.search_rule import score

_KINDS = {
    "candidate": pl.Int16,
    "round": pl.Int8,
    "percent": pl.Float64,
    "alpha": pl.Float64,
    "level_4": pl.Float64,
    "level_4_low": pl.Float64,
    "level_4_high": pl.Float64,
    "level_4_n": pl.Int64,
    "lost_points": pl.Float64,
}


def candidates_table(listed: list[Listed], judged: Judged, best: Iterable[int]) -> pl.DataFrame:
    """Return one row per candidate, key `candidate`.

    Args:
        listed: all candidates.
        judged: what the rounds found.
        best: the best of each family.

    Returns:
        columns candidate, family, setting, percent, alpha, remaining_norm, round (reached),
        accuracy, low, high, n (on all facts it was asked), level_4 with low, high and n,
        lost_points (below the highest level_4 of its last round), best_of_family.
    """
    winners = set(best)
    rows = []
    for number, (family, candidate) in enumerate(listed):
        found = judged.scores[number]
        known = found.level_4
        rows.append(
            {
                "candidate": number,
                "family": family,
                "setting": candidate.plan.setting,
                "percent": candidate.percent,
                "alpha": candidate.alpha,
                "remaining_norm": candidate.remaining,
                "round": judged.reached[number],
                **_named(found.accuracy, "accuracy", ""),
                **_named(known, "level_4", "level_4_"),
                "lost_points": judged.lost[number],
                "best_of_family": number in winners,
            }
        )
    return pl.DataFrame(rows, schema_overrides=_KINDS)


def curve_table(listed: list[Listed], answers: pl.DataFrame) -> pl.DataFrame:
    """Return every family's curve over the norm that remains, on the facts of the first round.

    All candidates have answered these facts, so the points of all curves can be compared.

    Args:
        listed: all candidates.
        answers: of all rounds.

    Returns:
        columns family, candidate, remaining_norm, accuracy, low, high, n, and the paired
        difference to the tuned model: over_tuned, over_tuned_low, over_tuned_high; by family from
        the weakest repair on. The tuned model stands for itself.
    """
    first = answers.filter(pl.col("round") == 1)
    tuned = first.filter(pl.col("candidate") == 0)
    rows = []
    for number, (family, candidate) in enumerate(listed):
        own = first.filter(pl.col("candidate") == number)
        over = macro_difference(transitions(tuned, own))
        rows.append(
            {
                "family": family,
                "candidate": number,
                "remaining_norm": candidate.remaining,
                **_named(score(own, candidate.remaining).accuracy, "accuracy", ""),
                **_over(over),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"candidate": pl.Int16})


def _named(estimate: Estimate | None, value: str, prefix: str) -> dict[str, Any]:
    numbers = estimate or (None, None, None, None)
    names = (value, f"{prefix}low", f"{prefix}high", f"{prefix}n")
    return dict(zip(names, numbers, strict=True))


def _over(difference: Difference | None) -> dict[str, float | None]:
    numbers = (None, None, None) if difference is None else difference[:3]
    return dict(zip(("over_tuned", "over_tuned_low", "over_tuned_high"), numbers, strict=True))
