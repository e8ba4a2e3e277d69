"""What a person sees of a study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from sixtyfold.printing import print_frame, say
from sixtyfold.study.contrast_numbers import ACCURACY
from sixtyfold.study.drive import Driven
from sixtyfold.study.results import main_figures
from sixtyfold.study.spec import (
    StudyCleanSpec,
    StudyContrastSpec,
    StudyRepairsSpec,
    StudyResultsSpec,
    StudyRunSpec,
    StudyStatusSpec,
)
from sixtyfold.study.status import Status
from sixtyfold.workflows.console import percent

_LABELS = (
    *("stage", "model", "grid", "size", "levels", "learning_rate", "options", "part", "arm"),
    *("against", "domain", "split"),
)
"""Columns that tell rows apart."""


def show_run(result: Driven, spec: StudyRunSpec, *, silent: bool) -> dict[str, Any]:
    """Show how many jobs and cells there are."""
    trained = sum("tune" in cell.jobs for cell in result.plan.cells)
    value = {"jobs": len(result.plan.jobs), "done": len(result.done), "trainings": trained}
    if not silent:
        say(f"{value['done']} of {value['jobs']} jobs done, {trained} trainings")
        where = "" if spec.store is None else f" --store {spec.store}"
        say(f"figures: sixtyfold study results --file {spec.file}{where}")
    return value


def show_status(result: Status, _: StudyStatusSpec, *, silent: bool) -> dict[str, Any]:
    """Show jobs per stage, what runs, what failed and why, and what was made otherwise."""
    if not silent:
        _print(result.stages)
        for line in _remarks(result):
            say(line)
    return {
        "stages": result.stages.to_dicts(),
        "open_choices": result.choices_open,
        "failed": [each._asdict() for each in result.failed],
        "running": [each._asdict() for each in result.running],
        "other_versions": result.other_versions,
        "other_inputs": result.other_inputs,
        "other_weights": [each._asdict() for each in result.other_weights],
        "damaged": result.damaged and [each._asdict() for each in result.damaged],
    }


def _remarks(result: Status) -> Iterator[str]:
    if result.choices_open:
        yield f"choices wait for {result.choices_open} dev answers; more jobs follow from them"
    for what, jobs in (("runs", result.running), ("failed", result.failed)):
        for job in jobs:
            cell = f" ({job.cell})" if job.cell else ""
            yield f"{what}: {job.stage} {job.key}{cell}" + (f": {job.reason}" if job.reason else "")
    for job in result.damaged or ():
        yield f"damaged: {job.stage} {job.key}: {job.reason}"
    if result.damaged == []:
        yield "every file was read and holds what was written"
    if result.damaged:
        yield "'sixtyfold study run --verify' makes what is damaged again"
    for version, count in result.other_versions.items():
        yield f"{count} results were made with {version}, another is here now; they are used"
    for name, count in result.other_inputs.items():
        yield (
            f"{count} results are of earlier contents of {name} and not used; "
            "'sixtyfold study clean' lists them"
        )
    for job in result.other_weights:
        yield (
            f"made again with other weights: {job.stage} {job.key} ({job.cell}); what was measured "
            "before and after is of two trainings"
        )


def show_results(
    result: pl.DataFrame, spec: StudyResultsSpec, *, silent: bool
) -> list[dict[str, Any]]:
    """Show one measure over the seeds, or where the table was written."""
    figures = main_figures(result, spec.measure, spec.role)
    if not silent:
        if spec.out is None:
            _print(figures)
        else:
            say(f"{result.height} numbers: {spec.out}")
    return figures.to_dicts()


def show_contrasts(
    result: pl.DataFrame, spec: StudyContrastSpec, *, silent: bool
) -> list[dict[str, Any]]:
    """Show accuracies or their differences in points, or where the table was written."""
    if not silent:
        if spec.out is None:
            _print(_in_points(result))
        else:
            say(f"{result.height} numbers: {spec.out}")
    return result.to_dicts()


def show_repairs(
    result: pl.DataFrame, spec: StudyRepairsSpec, *, silent: bool
) -> list[dict[str, Any]]:
    """Show every arm's difference to the tuned model and to interpolation, in points."""
    if not silent:
        if spec.out is None:
            _print(_repairs_in_points(result))
        else:
            say(f"{result.height} rows: {spec.out}")
    return result.to_dicts()


def _repairs_in_points(rows: pl.DataFrame) -> pl.DataFrame:
    texts = [_points(row, "difference", signed=True) for row in rows.iter_rows(named=True)]
    told = ("model", "grid", "size", "levels", "options", "search", "domain")
    labels = [name for name in told if rows[name].n_unique() > 1]
    figures = (pl.Series("difference", texts, dtype=pl.String), pl.col("accuracy") * 100)
    return rows.with_columns(*figures).select(
        *labels, "arm", "reference", "difference", "p_holm", "accuracy", "facts", "replicas"
    )


def _points(row: dict[str, Any], value: str, *, signed: bool) -> str:
    """Return a number with its interval, in points."""
    return percent({**row, "value": row[value]}, sign=signed)


def _as_it_is(row: dict[str, Any]) -> str:
    """Return a number with its interval, in the measure's own unit."""
    return f"{row['value']:.3g} ({row['low']:.3g} to {row['high']:.3g})"


def _in_points(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the means over relations (of drift: over facts), without labels all rows share."""
    whole = rows.filter(pl.col("part").is_null())
    accuracies = rows["measure"][0] == ACCURACY
    means = whole.filter(pl.col("over") == ("relations" if accuracies else "facts"))
    paired = means["against"].null_count() == 0
    texts = [
        _points(row, "value", signed=paired) if accuracies else _as_it_is(row)
        for row in means.iter_rows(named=True)
    ]
    value = "difference" if paired else rows["measure"][0]
    labels = [
        name
        for name in ("model", "grid", "size", "levels", "options", "against", "domain")
        if means[name].n_unique() > 1
    ]
    tests = [] if means["p"].null_count() == means.height else ["p", "p_holm"]
    table = means.with_columns(pl.Series(value, texts, dtype=pl.String))
    return table.select(*labels, value, *tests, "facts", "seeds")


def show_cleaned(result: pl.DataFrame, spec: StudyCleanSpec, *, silent: bool) -> dict[str, Any]:
    """Show how many results of each stage were removed, or would be."""
    counts = result.group_by("stage", maintain_order=True).agg(
        unneeded=pl.len(), megabytes=pl.col("bytes").sum() / 1e6, removed=pl.col("removed").sum()
    )
    if not silent:
        _print(counts)
        if result.is_empty():
            say("nothing is unneeded")
        elif not spec.yes:
            say("nothing was removed; add --yes to remove it")
    return {"unneeded": result.to_dicts()}


def _print(frame: pl.DataFrame) -> None:
    labels = [name for name in frame.columns if name in _LABELS] or frame.columns[:1]
    print_frame(frame, labels, digits=".3g", missing="–")
