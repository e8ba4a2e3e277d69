"""What a person sees of a study."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from sixtyfold.study.drive import Driven
from sixtyfold.study.results import main_figures
from sixtyfold.study.spec import (
    StudyCleanSpec,
    StudyResultsSpec,
    StudyRunSpec,
    StudyStatusSpec,
)


def show_run(result: Driven, _: StudyRunSpec, *, silent: bool) -> dict[str, Any]:
    """Show how many jobs and cells there are."""
    trained = sum("tune" in cell.jobs for cell in result.plan.cells)
    value = {"jobs": len(result.plan.jobs), "done": len(result.done), "trainings": trained}
    if not silent:
        print(f"{value['done']} of {value['jobs']} jobs done, {trained} trainings")
        print("figures: sixtyfold study results --file ...")
    return value


def show_status(result: pl.DataFrame, _: StudyStatusSpec, *, silent: bool) -> list[dict[str, Any]]:
    """Show jobs per stage."""
    if not silent:
        _print(result)
    return result.to_dicts()


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


def show_cleaned(result: pl.DataFrame, spec: StudyCleanSpec, *, silent: bool) -> dict[str, Any]:
    """Show how many results of each stage were removed, or would be."""
    counts = result.group_by("stage", maintain_order=True).agg(
        unneeded=pl.len(), removed=pl.col("removed").sum()
    )
    if not silent:
        _print(counts)
        if not spec.yes:
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
    return f"{value:.4g}" if isinstance(value, float) else str(value)
