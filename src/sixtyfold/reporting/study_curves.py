"""The charts of a study's page: curves over size, heat maps, differences with intervals.

As in `charts.py`: plain rows in, a specification out that fills the width of its box.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from sixtyfold.reporting.charts import (
    BLUE,
    SERIES_COLOURS,
    SERIES_SHAPES,
    Row,
    finish,
    plain_chart,
    series_scale,
)


def size_chart(
    rows: Sequence[Row], title: str, shares: bool = True, untuned: float | None = None
) -> dict[str, Any]:
    """Curves over the number of examples, one per series, with intervals.

    Args:
        rows: series, examples, value, low, high (both may be null), seeds.
        title: what the vertical axis says.
        shares: whether values are shares, written as percent.
        untuned: value of the untuned model, drawn as a line across.
    """
    written = ".1%" if shares else ".4g"
    axis = alt.Axis(format="%") if shares else alt.Axis()
    names = list(dict.fromkeys(row["series"] for row in rows))
    base = plain_chart(rows).encode(
        x=alt.X(
            "examples:Q",
            title="training examples (logarithmic)",
            scale=alt.Scale(type="log", nice=False, padding=20),
            axis=alt.Axis(values=sorted({row["examples"] for row in rows}), format=",d"),
        ),
        color=alt.Color("series:N", title=None, scale=series_scale(names, SERIES_COLOURS)),
        tooltip=[
            "series:N",
            alt.Tooltip("examples:Q", format=",d"),
            *(alt.Tooltip(f"{name}:Q", format=written) for name in ("value", "low", "high")),
            "seeds:Q",
        ],
    )
    y = alt.Y("value:Q", title=title, axis=axis, scale=alt.Scale(zero=False))
    drawn = base.mark_line(strokeWidth=2).encode(y=y)
    drawn += base.mark_rule(strokeOpacity=0.35, strokeWidth=2).encode(
        y=alt.Y("low:Q", title=title), y2="high:Q"
    )
    drawn += base.mark_point(filled=True, size=70, opacity=1).encode(
        y=y, shape=alt.Shape("series:N", title=None, scale=series_scale(names, SERIES_SHAPES))
    )
    if untuned is not None:
        across = alt.Chart(alt.Data(values=[{"value": untuned, "what": "untuned, best prompt"}]))
        drawn += across.mark_rule(strokeDash=[5, 4], strokeWidth=2, color="#888888").encode(
            y="value:Q", tooltip=["what:N", alt.Tooltip("value:Q", format=written)]
        )
    return finish(drawn, f"{title}, over the number of examples", 320)


def heat_chart(rows: Sequence[Row], title: str) -> dict[str, Any]:
    """Heat map: training set by level of the test fact, with the numbers in the cells.

    Args:
        rows: way (text, in the order to show), level (text), value, low, high, facts, of (text:
            the level with its number of facts).
        title: what the chart shows.
    """
    order = list(dict.fromkeys(row["way"] for row in rows))
    base = plain_chart(rows).encode(
        x=alt.X(
            "of:N",
            title="level of the test fact (facts)",
            axis=alt.Axis(labelAngle=0, labelExpr="split(datum.label, ' ')"),
        ),
        y=alt.Y("way:N", title="trained on", sort=order),
        tooltip=[
            "way:N",
            "level:N",
            *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("value", "low", "high")),
            "facts:Q",
        ],
    )
    colour = alt.Color(
        "value:Q",
        title="right answers",
        scale=alt.Scale(scheme="viridis", domain=[0, 1]),
        legend=alt.Legend(format="%"),
    )
    words = base.mark_text(fontSize=11).encode(
        text=alt.Text("value:Q", format=".0%"),
        color=alt.condition("datum.value > 0.45", alt.value("#000000"), alt.value("#ffffff")),
    )
    drawn = base.mark_rect().encode(color=colour) + words
    return finish(drawn, f"{title}, one row a training set", 24 * len(order))


def differences_chart(rows: Sequence[Row], title: str) -> dict[str, Any]:
    """Differences with 95% intervals around a line at 0, in points.

    Args:
        rows: way (text, in the order to show), value, low, high (differences of shares), p.
        title: what is compared.
    """
    points = [
        {**row, **{name: round(100 * row[name], 4) for name in ("value", "low", "high")}}
        for row in rows
    ]
    order = list(dict.fromkeys(row["way"] for row in rows))
    base = plain_chart(points).encode(
        y=alt.Y("way:N", title=None, sort=order),
        tooltip=[
            "way:N",
            *(alt.Tooltip(f"{name}:Q", format="+.1f") for name in ("value", "low", "high")),
            alt.Tooltip("p:Q", format=".2g"),
        ],
    )
    drawn = base.mark_rule(strokeWidth=2, color=BLUE).encode(
        x=alt.X("low:Q", title="difference, points", axis=alt.Axis(format="+~f")), x2="high:Q"
    )
    drawn += base.mark_point(filled=True, size=70, opacity=1, color=BLUE).encode(x="value:Q")
    drawn += base.mark_rule(strokeDash=[5, 4], color="#888888").encode(
        x=alt.datum(0), y=alt.value(0), y2=alt.value(22 * len(order))
    )
    return finish(drawn, f"{title}, in points", 22 * len(order))
