"""A comparison as tables for people: differences in points, counts of states."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.facts import DOMAINS
from sixtyfold.stages.compare.comparison import TESTS
from sixtyfold.stages.compare.transitions import STATES

MEANING = {
    "micro": "all facts alike (McNemar)",
    "these_relations": "mean over these relations",
    "new_relations": "mean over relations, for new ones (t)",
    "these_levels": "mean over the five levels",
}
FOOT = (
    "after − before in points; p Holm: adjusted over all rows of this table; "
    "could see: smallest true difference found with 80% power (none: not even 100 points)"
)


def difference_table(found: dict[str, Any]) -> pl.DataFrame:
    """Return one row per domain and test that is defined.

    Args:
        found: what `comparison` returned.
    """
    rows = []
    for domain in DOMAINS:
        for test in TESTS:
            difference = found["domains"][domain].get(test)
            if difference is None:
                continue
            rows.append(
                {
                    "domain": domain,
                    "difference": MEANING[test],
                    "points": _points(difference["value"]),
                    "95% interval": _interval(difference),
                    "p": _p(difference["p"]),
                    "p Holm": _p(difference["p_holm"]),
                    "could see": _reachable(difference["detectable"]),
                    "facts": difference["n"],
                }
            )
    return pl.DataFrame(rows)


def state_table(found: dict[str, Any]) -> pl.DataFrame:
    """Return kept, lost, gained and never per domain, level and relation, with the difference."""
    rows = [
        {"facts of": domain}
        | {state: found["domains"][domain]["transitions"][state] for state in STATES}
        | {"points": "", "95% interval": ""}
        for domain in DOMAINS
        if found["domains"][domain]["n"]
    ]
    for column in ("level", "relation"):
        rows += [
            {"facts of": f"{column} {row[column]}", **{state: row[state] for state in STATES}}
            | {"points": _points(row["value"]), "95% interval": _interval(row)}
            for row in found[f"by_{column}"]
        ]
    return pl.DataFrame(rows)


def _points(share: float) -> str:
    """Return a difference of shares in points.

    >>> _points(-0.0312), _points(0.0)
    ('−3.1', '0.0')
    """
    points = round(100 * share, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "0.0"


def _reachable(detectable: float) -> str:
    """Return a detectable difference in points, unless no difference is that large.

    >>> _reachable(0.0312), _reachable(1.7)
    ('3.1', 'none')
    """
    return f"{100 * detectable:.1f}" if detectable <= 1 else "none"


def _interval(row: dict[str, Any]) -> str:
    return f"{_points(row['low'])} to {_points(row['high'])}"


def _p(p: float) -> str:
    """Return p as people read it.

    >>> _p(0.0312), _p(0.00001)
    ('0.031', '<0.001')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"
