"""A search as tables and sentences for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from sixtyfold.core.statistics import ALPHA
from sixtyfold.workflows.search_arms import REFERENCES
from sixtyfold.workflows.search_candidates import TUNED

FOOT = (
    "accuracy: mean over relations; differences in points with 95% interval, * where p after Holm "
    f"is below {ALPHA:g}; could see: smallest true difference found with 80% power"
)


def best_table(candidates: pl.DataFrame, curve: pl.DataFrame) -> pl.DataFrame:
    """Return the best candidate of each family on dev, beside how far its family was tried."""
    ranges = {
        family: (rows["remaining_norm"].to_numpy().min(), rows["remaining_norm"].to_numpy().max())
        for (family,), rows in curve.group_by("family")
    }
    rows = []
    for row in candidates.filter("best_of_family").to_dicts():
        least, most = ranges[row["family"]]
        cells = {
            "family": row["family"],
            "best on dev": "" if row["family"] == TUNED else row["setting"],
            "update left": f"{100 * row['remaining_norm']:.1f}%",
            "tried": "" if row["family"] == TUNED else f"{100 * least:.0f}–{100 * most:.0f}%",
            "accuracy": _percent(row["accuracy"]),
            "95% interval": f"{_percent(row['low'])}–{_percent(row['high'])}",
            "level 4": _percent(row["level_4"]),
            "facts": row["n"],
        }
        rows.append(cells)
    found = pl.DataFrame(rows)
    return found.drop("level 4") if candidates["level_4"].null_count() == len(candidates) else found


def arms_words(test: pl.DataFrame) -> pl.DataFrame:
    """Return every arm and domain of the test with its differences."""
    rows = []
    for row in test.to_dicts():
        cells = {
            "arm": row["arm"],
            "domain": row["domain"],
            "update left": "" if row["remaining_norm"] is None
            else f"{100 * row['remaining_norm']:.1f}%",
            "accuracy": _percent(row["accuracy"]),
            "95% interval": f"{_percent(row['low'])}–{_percent(row['high'])}",
        }  # fmt: skip
        for reference in REFERENCES:
            if f"{reference}_difference" in row:
                cells[f"over {reference}"] = _difference(row, reference)
        if row["level_4"] is not None:
            cells["level 4"] = f"{_percent(row['level_4'])} of {row['level_4_n']}"
        cells["could see"] = _detectable(row["tuned_could_see"])
        cells["facts"] = str(row["n"])
        rows.append(cells)
    return pl.DataFrame(rows, infer_schema_length=None).fill_null("")


def conclusions(chosen: dict[str, Any], test: pl.DataFrame | None) -> Iterator[str]:
    """Say what was chosen and whether it, and restoration, is more than chance on test."""
    if chosen["family"] == TUNED:
        yield f"no repair is better on dev than the tuned model ({chosen['rule']}): it stays"
    else:
        left = 100 * chosen["remaining_norm"]
        yield (
            f"chosen on dev ({chosen['rule']}): {chosen['family']}, {chosen['setting']}; "
            f"{left:.1f}% of the update's norm left"
        )
    if test is None:
        return
    inside = {row["arm"]: row for row in test.filter(pl.col("domain") == "in").to_dicts()}
    row = inside.get(chosen["family"])
    if row is not None and row.get("tuned_difference") is not None:
        yield f"on test it is {_verdict(row, 'tuned')} than the tuned model"
    relative = inside.get("relative")
    if relative is not None and relative.get("interpolation_difference") is not None:
        yield (
            "the best restoration by relative change is "
            f"{_verdict(relative, 'interpolation')} than the best interpolation"
        )


def _verdict(row: dict[str, Any], reference: str) -> str:
    shown = f"({_interval(row, reference)} points, p Holm {row[f'{reference}_p_holm']:.3f})"
    if row[f"{reference}_p_holm"] >= ALPHA:
        return f"not shown to be better or worse {shown}"
    return f"{'better' if row[f'{reference}_difference'] > 0 else 'worse'} {shown}"


def _difference(row: dict[str, Any], reference: str) -> str:
    if row[f"{reference}_difference"] is None:
        return ""
    sure = "*" if row[f"{reference}_p_holm"] < ALPHA else ""
    return f"{_interval(row, reference)}{sure}"


def _interval(row: dict[str, Any], reference: str) -> str:
    value, low, high = (
        _points(row[f"{reference}_{name}"]) for name in ("difference", "low", "high")
    )
    return f"{value} ({low} to {high})"


def _detectable(share: float | None) -> str:
    """Return the smallest difference that could be seen, in points.

    >>> _detectable(0.0312), _detectable(6.6), _detectable(None)
    ('3.1', 'none', '')
    """
    if share is not None and share > 1:  # too few facts: no difference of shares is that large
        return "none"
    return _points(share).removeprefix("+")


def _points(share: float | None) -> str:
    """Return a difference of shares in points.

    >>> _points(-0.0312), _points(0.0), _points(None)
    ('−3.1', '0.0', '')
    """
    if share is None:
        return ""
    points = round(100 * share, 1)
    return f"{points:+.1f}".replace("-", "−") if points else "0.0"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"
