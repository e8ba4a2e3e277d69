"""How a study's page calls ways of training, and the tables behind its charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sixtyfold.reporting.charts import Row
from sixtyfold.reporting.page import Table
from sixtyfold.reporting.study_results import StudyResults
from sixtyfold.reporting.study_ways import LABELS, Way
from sixtyfold.reporting.untrusted import visible
from sixtyfold.workflows.console import percent

NATURAL = "natural"
"""Training facts as they come, of all levels."""

MOST_ROWS = 80
"""Rows a chart shows; the table of all trainings holds them all."""


def way_words(
    study: StudyResults,
    labels: dict[str, Any],
    without: Sequence[str] = (),
    among: Sequence[Way] = (),
) -> str:
    """Say what tells a way of training from the others of its study.

    Args:
        study: whose ways.
        labels: `LABELS` of the way.
        without: labels that are told elsewhere.
        among: the ways to tell it from, where those are not all.
    """
    told = [
        name
        for name in LABELS
        if name not in without and len({way.labels[name] for way in among or study.ways}) > 1
    ]
    kinds = {"levels": "level ", "size": ""}
    words = [
        f"{'' if labels[name] == 'natural' else kinds.get(name, '')}{labels[name]}"
        for name in told
        if labels[name]
    ]
    return visible(", ".join(words)) or "all"


def of_model(study: StudyResults, model: str) -> str:
    """Name the model where the study has several."""
    several = len({way.labels["model"] for way in study.ways}) > 1
    return f", {visible(model)}" if several else ""


def size_table(caption: str, rows: Sequence[Row], *, shares: bool = True) -> Table:
    """Return the numbers behind a chart over the number of examples.

    Args:
        caption: of the table.
        rows: series, examples, value, low, high, seeds; without an interval low and high are None.
        shares: whether values are shares, written as percent.
    """

    def written(row: Row) -> str:
        if shares:
            return percent(row)
        interval = "" if row["low"] is None else f" ({row['low']:.4g}–{row['high']:.4g})"
        return f"{row['value']:.4g}{interval}"

    unit = "percent" if shares else "value"
    cells = [
        [row["series"], f"{row['examples']:,.0f}", written(row), str(row["seeds"])] for row in rows
    ]
    return Table(caption, ["trained on", "examples", f"{unit} (95% interval)", "seeds"], cells)


def first_ways(rows: Sequence[Row], most: int = MOST_ROWS) -> list[Row]:
    """Return the rows of the first so many ways (column way)."""
    kept = set(list(dict.fromkeys(row["way"] for row in rows))[:most])
    return [row for row in rows if row["way"] in kept]


def cut_words(rows: Sequence[Row], most: int = MOST_ROWS) -> str:
    """Say that a chart leaves ways out, where it does."""
    ways = len({row["way"] for row in rows})
    if ways <= most:
        return ""
    return f" The first {most} of {ways}; the numbers behind this chart hold all."
