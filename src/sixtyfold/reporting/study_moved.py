"""What moved in a study: token drift, size of the update, its concentration next to its null.

Means over the seeds of a way of training, with t intervals over the seeds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from sixtyfold.core.statistics import mean_and_half_width
from sixtyfold.reporting.charts import Row, concentration_chart
from sixtyfold.reporting.page import Figure, Section, Table
from sixtyfold.reporting.study_charts import MEASURES, WHOLE
from sixtyfold.reporting.study_curves import size_chart
from sixtyfold.reporting.study_results import StudyResults
from sixtyfold.reporting.study_ways import Way
from sixtyfold.reporting.study_words import (
    cut_words,
    first_ways,
    of_model,
    size_table,
    way_words,
)
from sixtyfold.reporting.weight_sections import ITS_OWN_SHUFFLING, NULL_EXPLAINED, null_of

DRIFT_MEASURES = ("kl_top10", "kl_tuned_base", "js", "update_norm")
_CONCENTRATION = re.compile(r"concentration of (.+?)(?:, (null_\w+))?")
_OVER_SEEDS = "mean over the seeds, lines: 95% interval over them"
_MOST_WAYS = 8
"""Ways of training in one chart of concentration; each has two lines."""


def moved(study: StudyResults) -> Section:
    """Drift and size of the update over the number of examples; concentration of the update."""
    title = "What moved"
    figures = [*_over_size(study), *_concentrations(study)]
    if not figures:
        asked = not study.cells.filter(pl.col("role").is_in(["drift", "diff"])).is_empty()
        missing = (
            "Not yet in this study: no result of 'drift' or 'diff' is there."
            if asked
            else "Not in this study: neither 'drift' nor 'diff' was asked for in a grid."
        )
        return Section("moved", title, missing=missing)
    concentrated = any(figure.name.startswith("concentration") for figure in figures)
    return Section("moved", title, [NULL_EXPLAINED] if concentrated else (), figures=figures)


def _models(study: StudyResults) -> Iterator[tuple[int, str, list[Way]]]:
    for number, model in enumerate(dict.fromkeys(way.labels["model"] for way in study.ways)):
        yield number, model, [way for way in study.ways if way.labels["model"] == model]


def _over_size(study: StudyResults) -> Iterator[Figure]:
    """Every measure of drift, and the size of the update, over the number of examples."""
    for measure in DRIFT_MEASURES:
        rows = study.numbers.filter((pl.col("measure") == measure) & WHOLE & pl.col("chosen"))
        values = dict(rows.select("key", "value").drop_nulls().iter_rows())
        words = MEASURES[measure]
        for number, model, ways in _models(study):
            shown = list(_spread(study, ways, values))
            if not shown:
                continue
            caption = f"{words}{of_model(study, model)}: {_OVER_SEEDS}."
            chart = size_chart(shown, words, shares=False)
            table = size_table(caption, shown, shares=False)
            yield Figure(f"moved-{measure}-{number}", caption, chart, table)


def _spread(study: StudyResults, ways: Sequence[Way], values: dict[str, float]) -> Iterator[Row]:
    for way in ways:
        keys = {key for role in ("drift", "diff") for key in way.jobs.get(role, {}).values()}
        own = [values[key] for key in sorted(keys) if key in values]
        if own:
            words = way_words(study, way.labels, without=("model", "size"))
            yield {"series": words, "examples": way.examples, **_over_seeds(own)}


def _over_seeds(values: Sequence[float], most: float = math.inf) -> Row:
    """Return the mean of what is never below 0, with its t interval.

    There is none of one seed, nor where a training diverged and its number is none.
    """
    mean = float(np.mean(values))
    found: Row = {"value": mean, "low": None, "high": None, "seeds": len(values)}
    if len(values) > 1 and math.isfinite(mean):
        mean, half = mean_and_half_width(np.array(values))
        found |= {"value": mean, "low": max(0.0, mean - half), "high": min(most, mean + half)}
    return found


class _Shares(NamedTuple):
    """What the top weights of one training hold.

    ranked: by what the weights are ranked; kind: `update`, `null_permutation`, `null_gaussian`.
    """

    ranked: str
    kind: str
    top: float
    key: str


def _concentrations(study: StudyResults) -> Iterator[Figure]:
    """Share of the change that the top weights hold, by way of training, next to its null."""
    values = _shares(study.numbers)
    for ranked in dict.fromkeys(each.ranked for each in values):
        tops = sorted({each.top for each in values if each.ranked == ranked})
        for number, model, ways in _models(study):
            rows = [
                row
                for way in ways
                for top in tops
                if (row := _of_way(study, way, ranked, top, values)) is not None
            ]
            if rows:
                name = f"concentration-{ranked.replace(' ', '-')}-{number}"
                words = f"{ranked} change{of_model(study, model)}"
                yield _concentration(name, words, null_of(ranked), rows)


def _shares(numbers: pl.DataFrame) -> dict[_Shares, float]:
    wanted = numbers.filter(
        pl.col("measure").str.starts_with("concentration of ") & pl.col("part").is_not_null()
    )
    found = {}
    for measure, part, key, value in (
        wanted.select("measure", "part", "key", "value").drop_nulls().iter_rows()
    ):
        named = _CONCENTRATION.fullmatch(measure)
        if named is not None:
            top = float(part.removeprefix("top "))
            found[_Shares(named[1], named[2] or "update", top, key)] = value
    return found


def _of_way(
    study: StudyResults, way: Way, ranked: str, top: float, values: dict[_Shares, float]
) -> dict[str, Any] | None:
    """Return update, nulls and the update over its null, each over the seeds; None without any."""
    keys = way.jobs.get("diff", {}).values()
    own = {
        kind: {key: values[at] for key in keys if (at := _Shares(ranked, kind, top, key)) in values}
        for kind in ("update", "null_permutation", "null_gaussian")
    }
    shares, null = own["update"], own[null_of(ranked)]
    if not shares:
        return None
    if ranked == ITS_OWN_SHUFFLING:
        del own["null_permutation"]
    over = [shares[key] - null[key] for key in shares if key in null]
    return {
        "way": way_words(study, way.labels, without=("model",)),
        "top": top,
        **{kind: _over_seeds(list(each.values()), 1.0) for kind, each in own.items() if each},
        "over": _difference(over),
    }


def _difference(values: Sequence[float]) -> str:
    """Write the difference to the null in points, with its t interval over the seeds."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{_points(values[0])} (one seed)"
    mean, half = mean_and_half_width(np.array(values))
    return f"{_points(mean)} ({_points(mean - half)} to {_points(mean + half)})"


def _points(share: float) -> str:
    text = f"{100 * share:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def _percent(row: Row | None) -> str:
    if row is None:
        return "–"
    interval = "" if row["low"] is None else f" ({100 * row['low']:.2f}–{100 * row['high']:.2f})"
    return f"{100 * row['value']:.2f}{interval}"


def _concentration(name: str, words: str, null: str, rows: Sequence[dict[str, Any]]) -> Figure:
    kinds = {"update": "update", "null": null}
    drawn = [
        {"percent": row["top"], "series": row["way"], "kind": kind, "share": row[column]["value"],
         "low": row[column]["low"], "high": row[column]["high"]}
        for row in first_ways(rows, _MOST_WAYS)
        for kind, column in kinds.items()
        if column in row
    ]  # fmt: skip
    caption = (
        f"Share of the {words} that the top weights hold (solid), next to its null (dashed); "
        f"{_OVER_SEEDS}."
    )
    cells = [
        [row["way"], f"{row['top']:g}%",
         *(_percent(row.get(kind)) for kind in ("update", "null_permutation", "null_gaussian")),
         row["over"], str(row["update"]["seeds"])]
        for row in rows
    ]  # fmt: skip
    columns = ["trained on", "top", "share of the change", "null: shuffled", "null: Gaussian",
               "over its null, points", "seeds"]  # fmt: skip
    table = Table(f"Concentration of the {words}, next to its nulls (95% interval over the seeds)",
                  columns, cells)  # fmt: skip
    return Figure(name, caption + cut_words(rows, _MOST_WAYS), concentration_chart(drawn), table)
