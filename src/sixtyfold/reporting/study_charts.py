"""The figures of a study in Vega-Lite: every seed a point, lines through the means."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from sixtyfold.reporting.charts import SERIES_COLOURS
from sixtyfold.study.results import telling

MEASURES = {
    "macro_relation": "accuracy, mean over relations",
    "macro_level": "accuracy, mean over levels",
    "difference": "tuned minus best-prompted base",
    "kl_top10": "KL(tuned ‖ base), 10 largest logits",
    "kl_tuned_base": "KL(tuned ‖ base), whole vocabulary",
    "js": "Jensen-Shannon, whole vocabulary",
    "update_norm": "‖update‖",
}
"""Measures that are drawn over the size, where a study has them, and what their axis says."""

WHOLE = pl.col("part").is_null() | (pl.col("part") == "all all")
"""Numbers that are of no part; numbers of drift in older stores call the whole `all all`."""

_CELL = ("study", "grid", "model", "seed", "size", "levels", "learning_rate", "options")
_SERIES = ("model", "grid", "levels", "options")


def figures(results: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the figures that a study's results allow, by name.

    Args:
        results: what `study results` returns.

    Returns:
        one figure over the number of examples for each of `MEASURES`, and one of the accuracy by
        level of the test fact and of the training set.
    """
    rows = _with_examples(results.filter(pl.col("chosen") & pl.col("size").is_not_null()))
    found = {}
    for measure, title in MEASURES.items():
        drawn = rows.filter((pl.col("measure") == measure) & _whole(measure))
        if not drawn.is_empty():
            found[measure] = _over_size(_named(drawn), title)
    levels = rows.filter(
        (pl.col("measure") == "accuracy") & pl.col("part").str.starts_with("level ")
        & (pl.col("role") == "test")
    )  # fmt: skip
    if not levels.is_empty():
        found["levels"] = _by_level(_named(levels))
    return found


def _with_examples(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `examples`: how many there really were, also of the size `all`."""
    counts = rows.filter((pl.col("measure") == "examples") & pl.col("part").is_null())
    counted = counts.select(*_CELL, examples="value").unique()
    return rows.join(counted, on=_CELL, how="left", nulls_equal=True, maintain_order="left")


def _whole(measure: str) -> pl.Expr:
    """Return which rows of a measure are of the whole test split."""
    wanted = pl.col("part") == "these_relations" if measure == "difference" else WHOLE
    return wanted & ~pl.col("role").is_in(["dev", "own"])


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `series`: what tells the rows apart beside the size."""
    rows = rows.with_columns(options=telling(rows["options"]))
    told = [name for name in _SERIES if rows[name].n_unique() > 1]
    parts = [pl.col(name).fill_null("–") for name in told] or [pl.lit("all")]
    return rows.with_columns(
        series=pl.concat_str(parts, separator=", "),
        domain=pl.concat_str(pl.col("domain"), pl.lit(" domain")).fill_null("all facts"),
    )


def _over_size(rows: pl.DataFrame, title: str) -> dict[str, Any]:
    base = alt.Chart(alt.Data(values=rows.to_dicts())).encode(
        x=alt.X("examples:Q", title="training examples", scale=alt.Scale(type="log", nice=False)),
        color=_series(rows),
    )
    axis = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    tooltip = ["series:N", "examples:Q", "seed:Q", "value:Q", "low:Q", "high:Q"]
    points = base.mark_point(opacity=0.5).encode(y=axis, tooltip=tooltip)
    lines = base.mark_line().encode(y=alt.Y("mean(value):Q", title=title))
    return _faceted(points + lines, f"{title}, over the number of examples")


def _by_level(rows: pl.DataFrame) -> dict[str, Any]:
    chart = alt.Chart(alt.Data(values=rows.to_dicts()))
    axis = alt.Y("value:Q", title="accuracy", scale=alt.Scale(domain=[0, 1]))
    base = chart.encode(
        x=alt.X("part:N", title="level of the test fact", axis=alt.Axis(labelAngle=0)),
        color=_series(rows),
        strokeDash=alt.StrokeDash("size:N", title="examples"),
    )
    points = base.mark_point(opacity=0.5).encode(y=axis, tooltip=["series:N", "size:N", "value:Q"])
    lines = base.mark_line().encode(y="mean(value):Q")
    return _faceted(points + lines, "Accuracy by level of the test fact")


def _series(rows: pl.DataFrame) -> Any:
    names = rows["series"].unique().sort().to_list()
    return alt.Color("series:N", title=None, scale=alt.Scale(domain=names, range=SERIES_COLOURS))


def _faceted(chart: Any, description: str) -> dict[str, Any]:
    """Draw in and out of domain side by side."""
    drawn = chart.properties(width=320, height=240).facet(alt.Facet("domain:N", title=None))
    told: dict[str, Any] = drawn.properties(description=description).to_dict()
    return told
