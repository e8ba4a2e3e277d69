"""The report's charts as Vega-Lite specifications, made with altair.

Every chart gets plain rows and returns a specification that fills the width of its box. Colours
are Okabe and Ito's (safe for colour-blind readers) and never the only difference: models and
families also differ in shape, nulls in dash. Text and axis colours come from the page (light or
dark).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

Row = dict[str, Any]

BLUE, ORANGE, GREEN, SKY, PURPLE = "#3b8fc9", "#e69f00", "#009e73", "#56b4e9", "#cc79a7"
MODEL_COLOURS = {"base": ORANGE, "tuned": BLUE, "restored": GREEN}
MODEL_SHAPES = {"base": "circle", "tuned": "square", "restored": "triangle-up"}
#: Okabe and Ito's, then as many again to tell apart from them (with another shape each).
SERIES_COLOURS = [
    *(BLUE, ORANGE, GREEN, PURPLE, SKY, "#d55e00", "#999999"),
    *("#7768c9", "#a8642a", "#5d9b3c", "#b0406f", "#2aa8a8", "#c2b02e", "#d98880"),
]
SERIES_SHAPES = [
    *("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"),
    *("triangle-left", "wedge", "arrow", "stroke", "circle", "square", "triangle-up"),
]
#: With more families than this, intervals are left to tooltips and table: they cover each other.
_MOST_WITH_INTERVALS = 4


def levels_chart(rows: Sequence[Row]) -> dict[str, Any]:
    """Bars of facts per level, with a tick where the sum of level probabilities lies.

    Args:
        rows: level (text), facts, mass.
    """
    base = plain_chart(rows).encode(x=alt.X("level:N", title="level", axis=alt.Axis(labelAngle=0)))
    bars = base.mark_bar(color=BLUE, opacity=0.75).encode(
        y=alt.Y("facts:Q", title="test facts"),
        tooltip=["level:N", "facts:Q", alt.Tooltip("mass:Q", format=".1f")],
    )
    ticks = base.mark_tick(color=ORANGE, thickness=4).encode(
        y=alt.Y("mass:Q", title="test facts"),
        tooltip=["level:N", "facts:Q", alt.Tooltip("mass:Q", format=".1f")],
    )
    return finish(bars + ticks, "Test facts per level, and the sum of level probabilities", 240)


def relation_levels_chart(rows: Sequence[Row]) -> dict[str, Any]:
    """Stacked shares of levels, one bar per relation.

    Args:
        rows: relation, level (text), facts.
    """
    bars = (
        plain_chart(rows)
        .mark_bar()
        .encode(
            y=alt.Y("relation:N", title=None),
            x=alt.X("facts:Q", stack="normalize", title="share", axis=alt.Axis(format="%")),
            color=alt.Color("level:N", title="level", scale=alt.Scale(scheme="viridis")),
            order=alt.Order("level:O"),
            tooltip=["relation:N", "level:N", "facts:Q"],
        )
    )
    return finish(bars, "Share of levels per relation", 24 * _count(rows, "relation"))


def accuracy_chart(rows: Sequence[Row], group: str, title: str) -> dict[str, Any]:
    """Dots with 95% intervals: one line per group and model.

    Args:
        rows: group (text), model (base, tuned, restored), value, low, high, n.
        group: heading of the groups.
        title: what the chart shows.
    """
    models = [name for name in MODEL_COLOURS if any(row["model"] == name for row in rows)]
    base = plain_chart(rows).encode(
        y=alt.Y("group:N", title=group),
        yOffset=alt.YOffset("model:N", sort=models),
        color=alt.Color(
            "model:N",
            title=None,
            scale=alt.Scale(domain=models, range=[MODEL_COLOURS[name] for name in models]),
        ),
        tooltip=[
            "group:N",
            "model:N",
            alt.Tooltip("value:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%"),
            alt.Tooltip("high:Q", format=".1%"),
            "n:Q",
        ],
    )
    scale = alt.Scale(domain=[0, 1])
    axis = alt.Axis(format="%")
    rules = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title="right answers", scale=scale, axis=axis), x2="high:Q"
    )
    shapes = alt.Scale(domain=models, range=[MODEL_SHAPES[name] for name in models])
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=alt.X("value:Q", scale=scale, axis=axis),
        shape=alt.Shape("model:N", title=None, scale=shapes),
    )
    return finish(rules + dots, title, (10 + 13 * len(models)) * _count(rows, "group"))


def concentration_chart(rows: Sequence[Row]) -> dict[str, Any]:
    """Share of the whole change held by the top weights, beside its null.

    Args:
        rows: percent, share, series (text: what is ranked, or what was trained), kind ("update" or
            "null"), and where there is an interval low and high.
    """
    series = sorted({row["series"] for row in rows})
    scale = alt.Scale(domain=[0, 1])
    y = alt.Y("share:Q", title="share of the change", axis=alt.Axis(format="%"), scale=scale)
    shares = [alt.Tooltip(f"{name}:Q", format=".2%") for name in ("share", "low", "high")]
    intervals = any(row.get("low") is not None for row in rows)
    base = plain_chart(rows).encode(
        x=alt.X(
            "percent:Q",
            title="top weights, percent (logarithmic)",
            scale=alt.Scale(type="log", nice=False),
            axis=alt.Axis(values=sorted({row["percent"] for row in rows})),
        ),
        color=alt.Color("series:N", title=None, scale=series_scale(series, SERIES_COLOURS)),
        tooltip=["series:N", "kind:N", "percent:Q", *(shares if intervals else shares[:1])],
    )
    dash = alt.StrokeDash(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=["update", "null"], range=[[1, 0], [5, 4]]),
        legend=alt.Legend(
            symbolType="stroke",
            symbolSize=300,
            symbolStrokeColor="#888888",
            symbolStrokeWidth=2,
        ),
    )
    # Points of a layer of their own: those of a line take the dashes out of the legend.
    drawn = base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash)
    drawn += base.mark_point(filled=True, size=40, opacity=1).encode(y=y)
    if intervals:
        drawn += base.mark_rule(strokeOpacity=0.35, strokeWidth=2).encode(
            y=alt.Y("low:Q", title="share of the change", scale=scale), y2="high:Q"
        )
    return finish(drawn, concentration_words(rows), 300)


def concentration_words(rows: Sequence[Row]) -> str:
    """Say what a chart of concentration shows: shares, least to most, of its first and last top.

    >>> rows = [{"percent": 1.0, "kind": "update", "share": 0.5, "series": "a"},
    ...         {"percent": 1.0, "kind": "null", "share": 0.25, "series": "a"}]
    >>> concentration_words(rows)
    'Concentration of the update next to its null: the top 1% hold 50.0%, of the null 25.0%'
    """
    tops = sorted({row["percent"] for row in rows})
    told = []
    for top in dict.fromkeys((*tops[:1], *tops[-1:])):
        update, null = (_span(rows, top, kind) for kind in ("update", "null"))
        told.append(f"the top {top:g}% hold {update}, of the null {null}")
    return f"Concentration of the update next to its null: {'; '.join(told) or 'no share'}"


def _span(rows: Sequence[Row], top: float, kind: str) -> str:
    shares = [row["share"] for row in rows if row["percent"] == top and row["kind"] == kind]
    if not shares:
        return "–"
    ends = (f"{100 * share:.1f}%" for share in (min(shares), max(shares)))
    return " to ".join(dict.fromkeys(ends))


def update_map_chart(rows: Sequence[Row]) -> dict[str, Any]:
    """Heat map of the update's root mean square, layer × block.

    Args:
        rows: layer, block, rms, changed (share of weights).
    """
    order = ["q", "k", "v", "qkv", "o", "gate", "up", "gate_up", "down", "router", "norm"]
    cells = (
        plain_chart(rows)
        .mark_rect()
        .encode(
            x=alt.X("layer:O", title="layer", axis=alt.Axis(labelAngle=0, labelOverlap="greedy")),
            y=alt.Y("block:N", title=None, sort=order),
            color=alt.Color(
                "rms:Q",
                title="update (RMS)",
                scale=alt.Scale(scheme="viridis"),
                legend=alt.Legend(format=".1e"),
            ),
            tooltip=[
                "layer:O",
                "block:N",
                alt.Tooltip("rms:Q", format=".3e"),
                alt.Tooltip("changed:Q", format=".1%"),
            ],
        )
    )
    return finish(cells, "Size of the update by layer and block", 24 * _count(rows, "block"))


def restoration_chart(rows: Sequence[Row]) -> dict[str, Any]:
    """Dev accuracy of the repair candidates over the update that remains.

    Args:
        rows: family, label, remaining_norm, accuracy, low, high, chosen (bool).
    """
    axis = alt.Axis(format="%")
    families = sorted({row["family"] for row in rows})
    base = plain_chart(rows).encode(
        x=alt.X(
            "remaining_norm:Q",
            title="remaining update (share of its norm)",
            axis=axis,
            scale=alt.Scale(domain=[0, 1], reverse=True),
        ),
        color=alt.Color(
            "family:N",
            title=None,
            scale=series_scale(families, SERIES_COLOURS),
        ),
        tooltip=[
            "family:N",
            "label:N",
            alt.Tooltip("remaining_norm:Q", format=".1%"),
            alt.Tooltip("accuracy:Q", format=".1%"),
            alt.Tooltip("low:Q", format=".1%"),
            alt.Tooltip("high:Q", format=".1%"),
        ],
    )
    y = alt.Y("accuracy:Q", title="dev accuracy, in-domain", axis=axis, scale=alt.Scale(zero=False))
    rules = base.mark_rule(strokeOpacity=0.35, strokeWidth=2).encode(
        y=alt.Y("low:Q", title="dev accuracy, in-domain", axis=axis), y2="high:Q"
    )
    lines = base.mark_line(strokeWidth=1.5).encode(y=y)
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        y=y,
        shape=alt.Shape("family:N", title=None, scale=series_scale(families, SERIES_SHAPES)),
    )
    ring = (
        base.transform_filter("datum.chosen")
        .mark_point(size=320, strokeWidth=3)
        .encode(y=y, color=alt.value("#d55e00"))
    )
    drawn = lines + dots + ring
    if len(families) <= _MOST_WITH_INTERVALS:
        drawn = rules + drawn
    return finish(drawn, "Repair candidates on dev; the ring is chosen", 320)


def drift_chart(rows: Sequence[Row]) -> dict[str, Any]:
    """Spread of token drift, one box per outcome of the fact.

    Args:
        rows: state, n, and the drift in nats at five quantiles: least, quarter, median, upper,
            most.
    """
    scale = alt.Scale(type="symlog")
    axis = alt.Axis(tickCount=5)
    quantiles = [alt.Tooltip(f"{name}:Q", format=".3f")
                 for name in ("least", "quarter", "median", "upper", "most")]  # fmt: skip
    base = plain_chart(rows).encode(
        y=alt.Y("state:N", title=None, sort=["kept", "lost", "gained", "never"]),
        tooltip=["state:N", "n:Q", *quantiles],
    )
    title = "KL(tuned ‖ base), nats"
    lines = base.mark_rule(strokeWidth=2, color=BLUE).encode(
        x=alt.X("least:Q", title=title, scale=scale, axis=axis), x2="most:Q"
    )
    boxes = base.mark_bar(size=16, color=BLUE).encode(
        x=alt.X("quarter:Q", scale=scale), x2="upper:Q"
    )
    ticks = base.mark_tick(size=22, thickness=4, color=ORANGE).encode(
        x=alt.X("median:Q", scale=scale)
    )
    height = 36 * _count(rows, "state")
    described = "Token drift per fact, by what happened to the answer"
    return finish(lines + boxes + ticks, described, height)


def _count(rows: Sequence[Row], name: str) -> int:
    return len({row[name] for row in rows})


def series_scale(series: Sequence[str], values: Sequence[str]) -> Any:
    """Give every series a value of its own; what comes after the last begins anew."""
    return alt.Scale(
        domain=list(series), range=[values[place % len(values)] for place in range(len(series))]
    )


def plain_chart(rows: Sequence[Row]) -> Any:
    """Return a chart of rows, without a mark."""
    return alt.Chart(alt.Data(values=list(rows)))


def finish(chart: Any, description: str, height: int) -> dict[str, Any]:
    """Return the specification: as wide as its box, `height` pixels high, with a description."""
    # `description` becomes the aria-label of the drawing.
    finished = chart.properties(
        width="container",
        height=height,
        description=description,
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    )
    specification: dict[str, Any] = finished.to_dict()
    specification.pop("config", None)  # the page sets colours for light and dark
    return specification
