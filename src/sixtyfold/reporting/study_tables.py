"""The long tables of a study's page: repairs, every training, every number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.stage import Finished
from sixtyfold.reporting.packed import MOST_BYTES, Cells, packed_within
from sixtyfold.reporting.page import Figure, LongTable, Section, Table
from sixtyfold.reporting.study_curves import differences_chart
from sixtyfold.reporting.study_results import StudyResults, by_way
from sixtyfold.reporting.study_ways import LABELS, Way
from sixtyfold.reporting.study_words import cut_words, first_ways, way_words
from sixtyfold.reporting.untrusted import visible
from sixtyfold.study.jobs import Job
from sixtyfold.workflows.console import percent

REPAIRS_EXPLAINED = (
    "The best of each family was chosen on dev by each search for itself, fixed shares were not "
    "chosen; each was asked on test once. Base puts all weights back and stands in the tables "
    "alone. Differences are paired over facts and seeds; p is adjusted after Holm over the arms of "
    "one training, domain and reference."
)
_UNTUNED = "base"
_ALWAYS_TOLD = ("model", "size", "levels")
"""Labels that stand in the table of trainings also where all have the same."""

_SHARE = MOST_BYTES // 3
_NUMBERS = ("grid", "model", "seed", "size", "levels", "learning_rate", "options", "role",
            "measure", "domain", "split", "part", "value", "low", "high", "n")  # fmt: skip


class Repairs(NamedTuple):
    """The searches of a study over its seeds.

    arms: the columns of `search_replicas.over_replicas`, and `model`, `way` and `trained on` (words
        without and with the model), `search` (role); no row where there is none.
    apart: a line for every training whose searches cannot be taken together.
    """

    arms: pl.DataFrame
    apart: Sequence[str] = ()


def repaired(found: Repairs) -> Section:
    """What putting weights back did, the seeds of a training taken together."""
    title = "What the repairs did"
    repairs = found.arms
    if repairs.is_empty():
        missing = (
            "Not in this study: no search with a test of at least two seeds of one training "
            "('search: {}' in a grid asks for one)."
        )
        return Section("repaired", title, missing=" ".join(found.apart) or missing)
    figures = [
        _repairs(number, model, rows, several=repairs["model"].n_unique() > 1)
        for number, ((model,), rows) in enumerate(
            repairs.filter((pl.col("reference") == "tuned") & (pl.col("domain") == "in"))
            .group_by("model", maintain_order=True)
        )
    ]  # fmt: skip
    columns: dict[str, Cells] = {
        name: repairs[name].to_list()
        for name in ("trained on", "search", "domain", "reference", "arm")
    }
    columns |= {
        name: [round(100 * value, 2) for value in repairs[column]]
        for name, column in (("accuracy", "accuracy"), ("difference", "difference"),
                             ("low", "low"), ("high", "high"))
    }  # fmt: skip
    columns |= {name: [float(f"{value:.3g}") for value in repairs[name]] for name in ("p_holm",)}
    columns |= {name: repairs[name].to_list() for name in ("replicas", "facts")}
    filters = ("trained on", "domain", "reference", "arm")
    packed = packed_within(lambda _: columns, filters, _SHARE)
    long = LongTable("all-repairs", "All repairs, in percent and points", packed.text)
    text = [REPAIRS_EXPLAINED, *found.apart]
    return Section("repaired", title, text, figures=figures, long_tables=[long])


def _repairs(number: int, model: Any, repairs: pl.DataFrame, *, several: bool) -> Figure:
    """The arms of one model beside its tuned models, an arm over all trainings at a time."""
    order = {arm: place for place, arm in enumerate(repairs["arm"].unique(maintain_order=True))}
    searches = repairs["search"].n_unique() > 1
    rows = [
        {**row, "value": row["difference"],
         "way": " · ".join([row["arm"], row["way"], *([row["search"]] if searches else [])])}
        for row in sorted(repairs.to_dicts(), key=lambda row: order[row["arm"]])
    ]  # fmt: skip
    words = "restored minus tuned, in-domain" + (f", {visible(model)}" if several else "")
    table = Table(
        f"Points of accuracy, {words}",
        ["repair · trained on", "difference (95% interval)", "p after Holm"],
        [[row["way"], percent(row, sign=True), f"{row['p_holm']:.2g}"] for row in rows],
    )
    kept = {"way": "way", "value": "value", "low": "low", "high": "high", "p": "p_holm"}
    drawn = [
        {name: row[column] for name, column in kept.items()}
        for row in rows
        if row["arm"] != _UNTUNED
    ]
    caption = f"{words[0].upper()}{words[1:]}, paired over facts and seeds; 0: no difference."
    chart = differences_chart(first_ways(drawn), "restored minus tuned, in-domain")
    return Figure(f"repairs-{number}", caption + cut_words(drawn), chart, table)


def read_repairs(study: StudyResults) -> Repairs:
    """Return the arms of all searches over the seeds."""
    found, apart = [], []
    searched = [way for way in study.ways if any(role.startswith("search") for role in way.jobs)]
    for way in searched:
        for role in sorted(role for role in way.jobs if role.startswith("search")):
            searches = _searches(study, way, role)
            if len(searches) >= 2:
                from sixtyfold.workflows.search_replicas import over_replicas  # loads torch

                words = {
                    "model": way.labels["model"],
                    "way": way_words(study, way.labels, without=("model",), among=searched),
                    "trained on": way_words(study, way.labels),
                    "search": role,
                }
                columns = [pl.lit(value).alias(name) for name, value in words.items()]
                try:
                    found.append(over_replicas(searches).select(*columns, pl.all()))
                except BadInput as error:
                    apart.append(f"Left out, {words['trained on']} ({role}): {error}.")
    arms = pl.concat(found, how="diagonal_relaxed") if found else pl.DataFrame()
    return Repairs(arms, apart)


def _searches(study: StudyResults, way: Way, role: str) -> list[Finished]:
    """The searches of a way that asked test."""
    jobs = [Job(key, "search", {}, {}) for _, key in sorted(way.jobs[role].items())]
    searches = [study.store.open(job) for job in jobs]
    return [each for each in searches if "test_answers" in each.manifest["rows"]]


def everything(study: StudyResults) -> Section:
    """Every way of training in one row, and every number of the study."""
    ways = packed_within(lambda longest: _ways(study, longest), (*LABELS, "domain"), _SHARE)
    numbers = packed_within(
        lambda longest: _numbers(study.numbers, longest),
        ("grid", "model", "size", "levels", "role", "measure", "domain"),
        _SHARE,
    )
    left_out = [each.left_out for each in (ways, numbers) if each.left_out is not None]
    text = ["Search, filter and sort; save what is left as CSV.", *left_out]
    tables = [
        LongTable("trainings", "Every way of training, in percent", ways.text),
        LongTable("numbers", "Every number of the study", numbers.text),
    ]
    return Section("everything", "Every training, every number", text, long_tables=tables)


def _ways(study: StudyResults, longest: int) -> dict[str, Cells]:
    rows: list[dict[str, Any]] = []
    gains = by_way(study.gains)
    several = {name: len({way.labels[name] for way in study.ways}) > 1 for name in LABELS}
    told = [name for name in LABELS if several[name] or name in _ALWAYS_TOLD]
    for key, row in by_way(study.accuracies).items():
        first = row["relations"]
        gain = gains.get(key, {}).get("relations")
        rows.append(
            {
                **{name: visible(first[name], longest) for name in told},
                "domain": first["domain"],
                "examples": round(first["examples"]),
                "seeds": first["seeds"],
                "accuracy": _points(first, "value"),
                "low": _points(first, "low"),
                "high": _points(first, "high"),
                "over untuned": _points(gain, "value"),
                "p over untuned": None if gain is None else float(f"{gain['p']:.3g}"),
                **{f"level {n}": _points(row.get(f"level {n}"), "value") for n in LEVELS},
                "mean over levels": _points(row.get("levels"), "value"),
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def _points(row: dict[str, Any] | None, name: str) -> float | None:
    return None if row is None else round(100 * row[name], 2)


def _numbers(numbers: pl.DataFrame, longest: int) -> dict[str, Cells]:
    found: dict[str, Cells] = {}
    for name in _NUMBERS:
        column = numbers[name]
        if column.dtype == pl.String:
            found[name] = [visible(text, longest) for text in column]
        elif column.dtype == pl.Float64:
            found[name] = column.round_sig_figs(6).to_list()
        else:
            found[name] = column.to_list()
    return found
