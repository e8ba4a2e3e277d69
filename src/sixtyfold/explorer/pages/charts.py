"""The charts of the explorer: ECharts, which the UI library brings along, drawn as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from nicegui import ui

from sixtyfold.core.visible_text import visible
from sixtyfold.explorer.comparison import Filters
from sixtyfold.explorer.words import STATES
from sixtyfold.stages.compare.transitions import STATES as NAMES

COLOURS = {"kept": "#56b4e9", "lost": "#d55e00", "gained": "#009e73", "never": "#999999"}
"""Okabe and Ito's, safe for colour-blind readers; the signs in `STATES` say the same."""


class StatesByLevel:
    """Facts per level, stacked by what became of them."""

    def __init__(self) -> None:
        self.chart = ui.echart(_options([], {}), renderer="svg").classes("chart")
        self.chart.props["role"] = "img"

    def show(self, counts: pl.DataFrame, filters: Filters) -> None:
        """Draw.

        Args:
            counts: columns level, state, facts.
            filters: states and levels they leave out are not drawn.
        """
        rows = [
            row
            for row in counts.to_dicts()
            if (not filters.state or row["state"] in filters.state)
            and (not filters.level or row["level"] in filters.level)
        ]
        levels = sorted({visible(row["level"]) for row in rows})
        found = {(visible(row["level"]), row["state"]): row["facts"] for row in rows}
        series = {name: [found.get((level, name), 0) for level in levels] for name in NAMES}
        self.chart.options.update(_options([f"level {level}" for level in levels], series))
        self.chart.props["aria-label"] = _words(levels, series) or "no fact"
        self.chart.update()


def _words(levels: Sequence[str], series: dict[str, list[int]]) -> str:
    """Say what the chart shows."""
    return "; ".join(
        f"level {level}: " + ", ".join(f"{values[i]} {name}" for name, values in series.items())
        for i, level in enumerate(levels)
    )


def _options(names: Sequence[str], series: dict[str, list[int]]) -> dict[str, Any]:
    grey = {"color": "#808080"}
    return {
        "animation": False,
        "grid": {"left": 60, "right": 20, "top": 50, "bottom": 30},
        "legend": {"type": "scroll", "top": 0, "textStyle": grey},  # one line, on a phone too
        "tooltip": {"trigger": "axis", "axisPointer": {"type": "shadow"}},
        "xAxis": {"type": "category", "data": list(names), "axisLabel": grey},
        "yAxis": {"type": "value", "name": "facts", "minInterval": 1, "axisLabel": grey},
        "series": [
            {
                "name": STATES[name],
                "type": "bar",
                "stack": "facts",
                "data": values,
                "itemStyle": {"color": COLOURS[name]},
            }
            for name, values in series.items()
        ],
    }
