"""What a person sees of a study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from sixtyfold.study.drive import Driven
from sixtyfold.study.results import main_figures
from sixtyfold.study.spec import (
    StudyCleanSpec,
    StudyContrastSpec,
    StudyResultsSpec,
    StudyRunSpec,
    StudyStatusSpec,
)
from sixtyfold.study.status import Status


def show_run(result: Driven, spec: StudyRunSpec, *, silent: bool) -> dict[str, Any]:
    """Show how many jobs and cells there are."""
    trained = sum("tune" in cell.jobs for cell in result.plan.cells)
    value = {"jobs": len(result.plan.jobs), "done": len(result.done), "trainings": trained}
    if not silent:
        print(f"{value['done']} of {value['jobs']} jobs done, {trained} trainings")
        where = "" if spec.store is None else f" --store {spec.store}"
        print(f"figures: sixtyfold study results --file {spec.file}{where}")
    return value


def show_status(result: Status, _: StudyStatusSpec, *, silent: bool) -> dict[str, Any]:
    """Show jobs per stage, what runs, what failed and why, and what was made otherwise."""
    if not silent:
        _print(result.stages)
        for line in _remarks(result):
            print(line)
    return {
        "stages": result.stages.to_dicts(),
        "open_choices": result.choices_open,
        "failed": [each._asdict() for each in result.failed],
        "running": [each._asdict() for each in result.running],
        "other_versions": result.other_versions,
        "other_inputs": result.other_inputs,
        "other_weights": [each._asdict() for each in result.other_weights],
    }


def _remarks(result: Status) -> Iterator[str]:
    if result.choices_open:
        yield f"choices wait for {result.choices_open} dev answers; more jobs follow from them"
    for what, jobs in (("runs", result.running), ("failed", result.failed)):
        for job in jobs:
            cell = f" ({job.cell})" if job.cell else ""
            yield f"{what}: {job.stage} {job.key}{cell}" + (f": {job.reason}" if job.reason else "")
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
            print(f"{result.height} numbers: {spec.out}")
    return figures.to_dicts()


def show_contrasts(
    result: pl.DataFrame, spec: StudyContrastSpec, *, silent: bool
) -> list[dict[str, Any]]:
    """Show accuracies or their differences in points, or where the table was written."""
    if not silent:
        if spec.out is None:
            _print(_in_points(result))
        else:
            print(f"{result.height} numbers: {spec.out}")
    return result.to_dicts()


def _in_points(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the means over relations, without labels that all rows share."""
    means = rows.filter(pl.col("over") == "relations")
    signed = "{:+.1f}" if means["against"].null_count() == 0 else "{:.1f}"
    value = "difference" if means["against"].null_count() == 0 else "accuracy"
    texts = [
        f"{signed.format(100 * row['value'])} "
        f"({signed.format(100 * row['low'])} to {signed.format(100 * row['high'])})"
        for row in means.iter_rows(named=True)
    ]
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
            print("nothing is unneeded")
        elif not spec.yes:
            print("nothing was removed; add --yes to remove it")
    return {"unneeded": result.to_dicts()}


def _print(frame: pl.DataFrame) -> None:
    table = Table(*frame.columns)
    for row in frame.iter_rows():
        table.add_row(*(_cell(each) for each in row))
    Console().print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
