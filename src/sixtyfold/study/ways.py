"""Ways of training: the chosen cells of a plan that differ in nothing but their seed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sixtyfold.study.file import StudyFile
from sixtyfold.study.plan import Cell, Plan

LABELS = ("model", "grid", "size", "levels")
"""What every training is told by; other axes of its grid come on top."""


class Trained(NamedTuple):
    """One way of training: its labels and, per seed, the key of what was measured of it.

    untuned: the key of the untuned model's best answers.
    """

    labels: dict[str, str]
    results: dict[int, str]
    untuned: str | None


def ways(
    study: StudyFile, plan: Plan, grids: Collection[str], role: str, split: str = "test"
) -> list[Trained]:
    """Return the ways of training that have results of one role, in the order of the plan.

    Args:
        study: the file.
        plan: its plan; cells that were not chosen are left out.
        grids: names of grids; none means all.
        role: which results (`test`, `dev`, `drift`, `search`, ...).
        split: of which split the untuned model's answers are.
    """
    axes = {grid.name: _axes(grid.select) | _axes(grid.tune) for grid in study.grids}
    chosen_by = {grid.name: grid.choose for grid in study.grids}
    found: dict[tuple[tuple[str, str], ...], Trained] = {}
    for cell in plan.cells:
        grid = str(cell.labels["grid"])
        if not (cell.chosen and grid in axes and role in cell.jobs):
            continue
        if grids and grid not in grids:
            continue
        told = axes[grid] - {chosen_by[grid], *LABELS}
        labels = {name: str(cell.labels[name]) for name in (*LABELS, *sorted(told))}
        untuned = _untuned(cell, plan, split)
        way = found.setdefault(tuple(labels.items()), Trained(labels, {}, untuned))
        way.results[int(cell.labels["seed"])] = cell.jobs[role]
    return list(found.values())


def _axes(options: Mapping[str, Any]) -> set[str]:
    return {name for name, value in options.items() if isinstance(value, list)}


def _untuned(cell: Cell, plan: Plan, split: str) -> str | None:
    """Return the key of the untuned model's best answers, which the cell is compared with."""
    if "compare" not in cell.jobs:
        return None
    before = str(plan.jobs[cell.jobs["compare"]].reads["before"])
    for other in plan.cells:
        if other.jobs.get("test") == before:
            return other.jobs[split]
    return None
