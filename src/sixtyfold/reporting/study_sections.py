"""The story of a study, section by section: asked, sizes, levels, gains.

Turns what `study_results.py` read into sections (`page.py`); estimates nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from sixtyfold.core.levels import LEVELS
from sixtyfold.reporting.charts import Row
from sixtyfold.reporting.page import Figure, Section, Table
from sixtyfold.reporting.study_curves import differences_chart, heat_chart, size_chart
from sixtyfold.reporting.study_results import StudyResults, by_way
from sixtyfold.reporting.study_ways import LABELS
from sixtyfold.reporting.study_words import (
    NATURAL,
    cut_words,
    first_ways,
    of_model,
    size_table,
    way_words,
)
from sixtyfold.reporting.untrusted import visible
from sixtyfold.workflows.console import DOMAIN_WORDS, percent, signed

INTERVALS = (
    "Accuracy: mean over relations, on test. 95% intervals hold for other facts of these relations "
    "and for other trainings (seeds); with one seed, for this training alone."
)
LEVELS_EXPLAINED = (
    "Rows: what the model was trained on; columns: how well the base knew the test facts (level 0: "
    "not at all, 4: best). Levels belong to one base model, so they are not compared between "
    "models. Read a level by its number of facts: of few facts a share says little, and with fewer "
    "than 20 in a level there is no mean over levels."
)


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
        title = f"accuracy, {DOMAIN_WORDS[domain]}{of_model(study, model)}"
        untuned = _untuned(study, model, domain)
        chart = size_chart(shown, f"accuracy, {DOMAIN_WORDS[domain]}", untuned=untuned)
        caption = f"Over the number of examples: {title}."
        if untuned is not None:
            caption += f" Dashed: the untuned model with its best prompt, {100 * untuned:.1f}%."
        figures.append(Figure(f"sizes-{number}", caption, chart, size_table(caption, shown)))
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
        words = f"by level of the test fact, {DOMAIN_WORDS[domain]}{of_model(study, model)}"
        cells = [
            {"way": way, "level": row["part"].removeprefix("level "), "value": row["value"],
             "low": row["low"], "high": row["high"], "facts": row["facts"],
             "of": f"{row['part'].removeprefix('level ')} ({row['facts']:,})"}
            for way, row in _with_words(study, part)
        ]  # fmt: skip
        caption = f"Right answers {words}."
        chart = heat_chart(first_ways(cells), f"Right answers {words}")
        data = _papers_table(study, model, domain, caption)
        figures.append(Figure(f"levels-{number}", caption + cut_words(cells), chart, data))
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
        words = f"tuned minus untuned, {DOMAIN_WORDS[domain]}{of_model(study, model)}"
        cells = [
            {"way": way, **{name: row[name] for name in ("value", "low", "high", "p")}}
            for way, row in _with_words(study, part)
        ]
        table = Table(
            f"Points of accuracy, {words}",
            ["trained on", "difference (95% interval)", "p, not adjusted"],
            [[row["way"], percent(row, sign=True), f"{row['p']:.2g}"] for row in cells],
        )
        caption = f"{words[0].upper()}{words[1:]}, paired over facts and seeds; 0: no difference."
        chart = differences_chart(first_ways(cells), f"tuned minus untuned, {DOMAIN_WORDS[domain]}")
        figures.append(Figure(f"gained-{number}", caption + cut_words(cells), chart, table))
    return Section("gained", title, [INTERVALS], figures=figures)


def _parts(rows: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    for (model, domain), part in rows.group_by("model", "domain", maintain_order=True):
        yield str(model), str(domain), part


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
        words = f"accuracy by level of the test fact, in-domain{of_model(study, model)}"
        caption = f"Over the number of examples: {words}; trained on: {kind}."
        chart = size_chart(shown, "accuracy by level of the test fact")
        yield Figure(f"test-levels-{number}", caption, chart, size_table(caption, shown))


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
               "mean over relations", "over untuned, points", "seeds"]  # fmt: skip
    return Table(caption, columns, cells)


def _untuned(study: StudyResults, model: str, domain: str) -> float | None:
    if study.untuned.is_empty():
        return None
    found = study.untuned.filter(
        (pl.col("model") == model) & (pl.col("domain") == domain) & (pl.col("over") == "relations")
    )
    return None if found.is_empty() else float(found["value"][0])
