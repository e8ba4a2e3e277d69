"""The results of a study: one row = one number, with what it belongs to."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from sixtyfold.study.any_store import Store
from sixtyfold.study.columns import CELLS_SCHEMA
from sixtyfold.study.file import StudyFile
from sixtyfold.study.plan import Plan

_OWN = ("grid", "model", "seed", "size", "levels", "learning_rate")


def cells_table(study: StudyFile, plan: Plan) -> pl.DataFrame:
    """Return the cells of a plan in the columns of `CELLS_SCHEMA`."""
    rows: list[dict[str, Any]] = []
    for cell in plan.cells:
        labels = {name: cell.labels.get(name) for name in _OWN}
        others = {name: value for name, value in cell.labels.items() if name not in _OWN}
        for role, key in cell.jobs.items():
            rows.append(
                {
                    "study": study.name,
                    **{name: _text(name, value) for name, value in labels.items()},
                    "chosen": cell.chosen,
                    "options": json.dumps(others, sort_keys=True),
                    "role": role,
                    "stage": plan.jobs[key].stage,
                    "key": key,
                }
            )
    return pl.DataFrame(rows, schema=CELLS_SCHEMA)


def write_cells(store: Store, study: StudyFile, plan: Plan) -> None:
    """Write the cells of a study next to its file."""
    store.write_cells(study.name, cells_table(study, plan))


def results_table(store: Store, study: StudyFile, plan: Plan) -> pl.DataFrame:
    """Return every number of a study that is there.

    Returns:
        the columns of `CELLS_SCHEMA` and of `numbers.SCHEMA`, sorted; a number that several cells
        share stands once for each.

    Raises:
        Corrupted: a file of numbers is not readable.
    """
    cells = cells_table(study, plan)
    numbers = store.numbers(plan.jobs.values())
    joined = cells.join(numbers, on="key", how="inner", maintain_order="left_right")
    return joined.sort(pl.all().exclude("value", "low", "high", "n"), nulls_last=True)


def _text(name: str, value: Any) -> Any:
    if value is None or name == "seed":
        return value
    return float(value) if name == "learning_rate" else str(value)


_LABELS = ("model", "grid", "size", "levels", "learning_rate", "options", "chosen")


def main_figures(results: pl.DataFrame, measure: str) -> pl.DataFrame:
    """Return a measure of whole results (no part of one), averaged over the seeds.

    Returns:
        one row per cell without its seed, domain and split: mean, the standard deviation over
        seeds (null for one), lowest and highest, and the number of seeds.
    """
    rows = results.filter((pl.col("measure") == measure) & pl.col("part").is_null())
    value = pl.col("value")
    return rows.group_by(*_LABELS, "role", "domain", "split", maintain_order=True).agg(
        mean=value.mean(), sd=value.std(), lowest=value.min(), highest=value.max(), seeds=pl.len()
    )
