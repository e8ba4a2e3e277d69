"""The results of a study: one row = one number, with what it belongs to."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.study.any_store import Store
from sixtyfold.study.columns import CELLS_SCHEMA
from sixtyfold.study.file import StudyFile
from sixtyfold.study.plan import Cell, Plan

_OWN = ("grid", "model", "seed", "size", "levels", "learning_rate")


def cells_table(study: StudyFile, plan: Plan) -> pl.DataFrame:
    """Return the cells of a plan in the columns of `CELLS_SCHEMA`.

    Jobs that no cell names (facts, parts of a probe) stand as a last cell without labels, each
    with its stage for a role.
    """
    named = {key for cell in plan.cells for key in cell.jobs.values()}
    rows = [_row(study, plan, cell, role) for cell in plan.cells for role in cell.jobs]
    unnamed = [job for job in plan.jobs.values() if job.key not in named]
    shared = [(Cell({}, {job.stage: job.key}, chosen=True), job.stage) for job in unnamed]
    rows += [_row(study, plan, cell, role) for cell, role in shared]
    return pl.DataFrame(rows, schema=CELLS_SCHEMA)


def _row(study: StudyFile, plan: Plan, cell: Cell, role: str) -> dict[str, Any]:
    others = {name: value for name, value in cell.labels.items() if name not in _OWN}
    return {
        "study": study.name,
        **{name: _text(name, cell.labels.get(name)) for name in _OWN},
        "chosen": cell.chosen,
        "options": json.dumps(others, sort_keys=True),
        "role": role,
        "stage": plan.jobs[cell.jobs[role]].stage,
        "key": cell.jobs[role],
    }


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


_LABELS = ("model", "grid", "size", "levels", "learning_rate", "options", "part", "domain", "split")


def main_figures(results: pl.DataFrame, measure: str, role: str) -> pl.DataFrame:
    """Return one measure of what was chosen, averaged over the seeds.

    Args:
        results: what `results_table` returned.
        measure: the measure.
        role: what was asked (`test`, `dev`, `search`, ...).

    Returns:
        one row per cell without its seed: mean, standard deviation over the seeds (null for one),
        lowest, highest, number of seeds. Numbers of parts (a level, a relation) stand in it only
        where the measure has no others; labels that are the same wherever there are any are left
        out.

    Raises:
        BadInput: no result has this measure and role; the message names those there are.
    """
    chosen = results.filter("chosen")
    rows = chosen.filter((pl.col("measure") == measure) & (pl.col("role") == role))
    if rows.is_empty():
        known = chosen.filter(pl.col("role") == role)["measure"].unique().sort().to_list()
        roles = chosen["role"].unique().sort().to_list()
        raise BadInput(
            f"no {role} result has the measure {measure!r}{suggestion(measure, known)}; measures "
            f"there: {', '.join(known) or 'none'}; roles: {', '.join(roles) or 'none yet'}"
        )
    whole = rows.filter(pl.col("part").is_null())
    value = pl.col("value")
    figures = (
        (rows if whole.is_empty() else whole)
        .with_columns(options=telling(rows["options"]))
        .group_by(*_LABELS, maintain_order=True)
        .agg(mean=value.mean(), sd=value.std(), lowest=value.min(), highest=value.max(),
             seeds=pl.len())
    )  # fmt: skip
    size = pl.col("size").cast(pl.Float64, strict=False)
    ordered = figures.sort("model", "grid", size, *_LABELS[3:], nulls_last=True)
    return ordered.drop([name for name in _LABELS if ordered[name].drop_nulls().n_unique() <= 1])


def telling(options: pl.Series) -> pl.Expr:
    """Return the options that are not the same in all rows, as words."""
    read = {text: json.loads(text) for text in options.unique()}
    trained = [each for each in read.values() if each] or [{}]
    names = sorted({name for each in trained for name in each})
    told = [name for name in names if len({str(each.get(name)) for each in trained}) > 1]
    words = {
        text: ", ".join(f"{name} {each[name]}" for name in told if name in each)
        for text, each in read.items()
    }
    return pl.col("options").replace(words)
