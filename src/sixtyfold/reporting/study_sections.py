"""The story of a study, section by section: asked, sizes, levels, gains, moved.

Turns what `study_results.py` read into sections (`page.py`); estimates nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from sixtyfold.core.levels import LEVELS
from sixtyfold.reporting.charts import Row
from sixtyfold.reporting.page import Figure, Section, Table
from sixtyfold.reporting.sections import DOMAIN_WORDS
from sixtyfold.reporting.study_charts import MEASURES
from sixtyfold.reporting.study_curves import differences_chart, heat_chart, size_chart
from sixtyfold.reporting.study_results import LABELS, StudyResults, by_way
from sixtyfold.reporting.untrusted import visible
from sixtyfold.workflows.console import percent, signed

INTERVALS = (
    "Accuracy: mean over relations, on test. 95% intervals hold for other facts of these relations "
    "and for other trainings (seeds); with one seed, for this training alone."
)
LEVELS_EXPLAINED = (
    "Rows: what the model was trained on; columns: how well the base knew the test facts (level 0: "
    "not at all, 4: best). Levels belong to one base model, so they are not compared between "
    "models."
)
DRIFT_MEASURES = ("kl_top10", "kl_tuned_base", "js", "update_norm")
NATURAL = "natural"
"""Training facts as they come, of all levels."""

MOST_ROWS = 80
"""Rows a chart shows; the table of all trainings holds them all."""


def asked(study: StudyResults) -> Section:
    """What was asked of which models, and how much of it is there."""
    about = (study.definition or {}).get("study", {}).get("about")
    text = [visible(str(about), longest=2000)] if about else []
    done = study.cells.select("key", "done").unique()
    jobs, there = done.height, int(done["done"].sum())
    if there < jobs:
        text.append(
            f"The study is not finished: {there:,} of {jobs:,} results are there "
            "('sixtyfold study status' says what is left). What follows is about these."
        )
    rows = []
    for model in dict.fromkeys(way.labels["model"] for way in study.ways):
        own = [way for way in study.ways if way.labels["model"] == model]
        sizes = sorted({way.examples for way in own})
        seeds = {seed for way in own for seed in way.test}
        rows.append(
            [visible(model), str(len(own)), str(sum(len(way.test) for way in own)),
             ", ".join(f"{size:,.0f}" for size in sizes), str(len(seeds)),
             visible(", ".join(dict.fromkeys(way.labels["grid"] for way in own)))]
        )  # fmt: skip
    columns = ["model", "ways of training", "trainings", "examples", "seeds", "grids"]
    table = Table("What was trained and tested", columns, rows, words=True)
    return Section("asked", "What was asked", text, [table])


def sizes(study: StudyResults) -> Section:
    """Accuracy over the number of examples: by training set, and by level of the test fact."""
    figures = []
    rows = study.accuracies.filter(pl.col("over") == "relations")
    for number, (model, domain, part) in enumerate(_parts(rows)):
        shown = _over_size(study, part)
        title = f"accuracy, {DOMAIN_WORDS[domain]}{_of(study, model)}"
        untuned = _untuned(study, model, domain)
        chart = size_chart(shown, f"accuracy, {DOMAIN_WORDS[domain]}", untuned=untuned)
        caption = f"Over the number of examples: {title}."
        if untuned is not None:
            caption += f" Dashed: the untuned model with its best prompt, {100 * untuned:.1f}%."
        figures.append(Figure(f"sizes-{number}", caption, chart, _size_table(caption, shown)))
    figures += list(_by_test_level(study))
    return Section("sizes", "How many examples", [INTERVALS], figures=figures)


def levels(study: StudyResults) -> Section:
    """Heat maps of training set by level of the test fact; the tables behind are the papers'."""
    title = "Which examples"
    rows = study.accuracies.filter(pl.col("part").is_not_null())
    if rows.is_empty():
        missing = "Not in this study: no probe, so test facts have no level."
        return Section("levels", title, missing=missing)
    figures = []
    text = [LEVELS_EXPLAINED]
    for number, (model, domain, part) in enumerate(_parts(rows)):
        words = f"accuracy by level, {DOMAIN_WORDS[domain]}{_of(study, model)}"
        cells = [
            {"way": way, "level": row["part"].removeprefix("level "), "value": row["value"],
             "low": row["low"], "high": row["high"], "facts": row["facts"]}
            for way, row in _with_words(study, part)
        ]  # fmt: skip
        caption = f"Right answers, {words}; training sets with their number of examples."
        chart = heat_chart(_first(cells), words)
        data = _papers_table(study, model, domain, caption)
        figures.append(Figure(f"levels-{number}", caption + _cut(cells), chart, data))
    return Section("levels", title, text, figures=figures)


def gained(study: StudyResults) -> Section:
    """Every way of training beside the untuned model with its best prompt."""
    title = "Tuned against the untuned model"
    if study.gains.is_empty():
        missing = "Not in this study: the untuned model was not asked, or not on these facts."
        return Section("gained", title, missing=missing)
    figures = []
    rows = study.gains.filter(pl.col("over") == "relations")
    for number, (model, domain, part) in enumerate(_parts(rows)):
        words = f"tuned minus untuned, {DOMAIN_WORDS[domain]}{_of(study, model)}"
        cells = [
            {"way": way, **{name: row[name] for name in ("value", "low", "high", "p")}}
            for way, row in _with_words(study, part)
        ]
        table = Table(
            f"Points of accuracy, {words}",
            ["trained on", "difference (95% interval)", "p"],
            [[row["way"], percent(row, sign=True), f"{row['p']:.2g}"] for row in cells],
        )
        caption = f"{words[0].upper()}{words[1:]}, paired over facts and seeds; 0: no difference."
        chart = differences_chart(_first(cells), f"tuned minus untuned, {DOMAIN_WORDS[domain]}")
        figures.append(Figure(f"gained-{number}", caption + _cut(cells), chart, table))
    return Section("gained", title, [INTERVALS], figures=figures)


def moved(study: StudyResults) -> Section:
    """Token drift and size of the update over the number of examples."""
    title = "What moved"
    figures = []
    for measure in DRIFT_MEASURES:
        rows = study.numbers.filter(
            (pl.col("measure") == measure) & pl.col("part").is_null() & pl.col("chosen")
        )
        values = dict(rows.select("key", "value").drop_nulls().iter_rows())
        words = MEASURES.get(measure, measure)
        for number, model in enumerate(dict.fromkeys(way.labels["model"] for way in study.ways)):
            shown = _spread(study, model, values)
            if not shown:
                continue
            caption = f"{words}{_of(study, model)}: mean over the seeds, lines from least to most."
            chart = size_chart(shown, words, shares=False)
            figures.append(
                Figure(f"moved-{measure}-{number}", caption, chart, _size_table(caption, shown, ""))
            )
    if not figures:
        missing = "Not in this study: neither 'drift' nor 'diff' was asked for in a grid."
        return Section("moved", title, missing=missing)
    return Section("moved", title, figures=figures)


def way_words(study: StudyResults, labels: dict[str, Any], without: Sequence[str] = ()) -> str:
    """Say what tells a way of training from the others of its study.

    Args:
        study: whose ways.
        labels: `LABELS` of the way.
        without: labels that are told elsewhere.
    """
    told = [
        name
        for name in LABELS
        if name not in without and len({way.labels[name] for way in study.ways}) > 1
    ]
    kinds = {"levels": "level ", "size": ""}
    words = [
        f"{'' if labels[name] == 'natural' else kinds.get(name, '')}{labels[name]}"
        for name in told
        if labels[name]
    ]
    return visible(", ".join(words)) or "all"


def _parts(rows: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    for (model, domain), part in rows.group_by("model", "domain", maintain_order=True):
        yield str(model), str(domain), part


def _of(study: StudyResults, model: str) -> str:
    """Name the model where the study has several."""
    several = len({way.labels["model"] for way in study.ways}) > 1
    return f", {visible(model)}" if several else ""


def _with_words(study: StudyResults, rows: pl.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in rows.to_dicts():
        yield way_words(study, row, without=("model",)), row


def _over_size(study: StudyResults, rows: pl.DataFrame) -> list[Row]:
    kept = ("examples", "value", "low", "high", "seeds")
    return [
        {"series": way_words(study, row, without=("model", "size")),
         **{name: row[name] for name in kept}}
        for row in rows.to_dicts()
    ]  # fmt: skip


def _by_test_level(study: StudyResults) -> Iterator[Figure]:
    """Curves by level of the test fact, for the kind of training set that has most sizes."""
    rows = study.accuracies.filter(pl.col("part").is_not_null() & (pl.col("domain") == "in"))
    for number, (model, _, part) in enumerate(_parts(rows)):
        kinds: dict[str, list[dict[str, Any]]] = {}
        for row in part.to_dicts():
            kinds.setdefault(way_words(study, row, without=("model", "size")), []).append(row)
        sizes_of = {name: len({row["examples"] for row in each}) for name, each in kinds.items()}
        kind = max(kinds, key=lambda name: (sizes_of[name], NATURAL in name))
        shown = [
            {"series": f"test {row['part']}", **{name: row[name] for name in
             ("examples", "value", "low", "high", "seeds")}}
            for row in kinds[kind]
        ]  # fmt: skip
        words = f"accuracy by level of the test fact, in-domain{_of(study, model)}"
        caption = f"Over the number of examples: {words}; trained on: {kind}."
        chart = size_chart(shown, "accuracy by level of the test fact")
        yield Figure(f"test-levels-{number}", caption, chart, _size_table(caption, shown))


def _size_table(caption: str, rows: Sequence[Row], unit: str = "percent") -> Table:
    def written(row: Row) -> str:
        if unit:
            return percent(row)
        return f"{row['value']:.4g} ({row['low']:.4g}–{row['high']:.4g})"

    cells = [
        [row["series"], f"{row['examples']:,.0f}", written(row), str(row["seeds"])] for row in rows
    ]
    return Table(caption, ["trained on", "examples", f"{unit} (interval)".strip(), "seeds"], cells)


def _papers_table(study: StudyResults, model: str, domain: str, caption: str) -> Table:
    """One row per training set: accuracy at every level, their mean, and its gain."""
    cells = []
    accuracies, gains = by_way(study.accuracies), by_way(study.gains)
    for way in study.ways:
        key = (*(way.labels[name] for name in LABELS), domain)
        at, gain = accuracies.get(key), gains.get(key, {}).get("relations")
        if way.labels["model"] != model or at is None:
            continue
        per_level = (at.get(f"level {level}") for level in LEVELS)
        cells.append(
            [way_words(study, way.labels, without=("model",)),
             *("–" if row is None else f"{100 * row['value']:.1f}" for row in per_level),
             percent(at.get("levels")), percent(at["relations"]),
             "–" if gain is None else signed(gain["value"]), str(len(way.test))]
        )  # fmt: skip
    columns = ["trained on", *(f"test level {level}" for level in LEVELS), "mean over levels",
               "mean over relations", "over untuned", "seeds"]  # fmt: skip
    return Table(caption, columns, cells)


def _untuned(study: StudyResults, model: str, domain: str) -> float | None:
    if study.untuned.is_empty():
        return None
    found = study.untuned.filter(
        (pl.col("model") == model) & (pl.col("domain") == domain) & (pl.col("over") == "relations")
    )
    return None if found.is_empty() else float(found["value"][0])


def _spread(study: StudyResults, model: str, values: dict[str, float]) -> list[Row]:
    rows = []
    for way in study.ways:
        keys = {key for role in ("drift", "diff") for key in way.jobs.get(role, {}).values()}
        own = [values[key] for key in sorted(keys) if key in values]
        if own and way.labels["model"] == model:
            rows.append(
                {"series": way_words(study, way.labels, without=("model", "size")),
                 "examples": way.examples, "value": sum(own) / len(own), "low": min(own),
                 "high": max(own), "seeds": len(own)}
            )  # fmt: skip
    return rows


def _first(rows: Sequence[Row]) -> list[Row]:
    """The rows of the first `MOST_ROWS` ways."""
    kept = set(list(dict.fromkeys(row["way"] for row in rows))[:MOST_ROWS])
    return [row for row in rows if row["way"] in kept]


def _cut(rows: Sequence[Row]) -> str:
    ways = len({row["way"] for row in rows})
    if ways <= MOST_ROWS:
        return ""
    return f" The first {MOST_ROWS} of {ways}; the numbers behind this chart hold all."
