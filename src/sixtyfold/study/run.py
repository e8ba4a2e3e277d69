"""The commands of a study: `run`, `status`, `results` and `clean`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.core.stage import write_atomic, write_parquet
from sixtyfold.study.any_store import Store
from sixtyfold.study.choice import DevScores
from sixtyfold.study.clean import REMOVED, remove, unneeded
from sixtyfold.study.drive import Driven, Executor, Tell, drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.inputs import find_inputs
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.open_store import open_store
from sixtyfold.study.plan import Plan, plan_study
from sixtyfold.study.reading import read_study
from sixtyfold.study.results import results_table
from sixtyfold.study.spec import (
    StudyCleanSpec,
    StudyResultsSpec,
    StudyRunSpec,
    StudySpec,
    StudyStatusSpec,
)


class Opened(NamedTuple):
    """A study with its store, planned with what is there."""

    study: StudyFile
    store: Store
    plan: Plan


class SomeFailed(SixtyfoldError):
    """A study went on to its end and some of its jobs failed."""


def run(spec: StudyRunSpec, tell: Tell | None = None) -> Driven:
    """Run what is left of a study.

    Raises:
        BadInput: the file, what it names or the store is not usable.
        SomeFailed: jobs failed; the others are done.
    """
    study, store = _read(spec)
    inputs = find_inputs(study)
    with _executor(spec, study, store) as executor:
        driven = drive(study, inputs, store, executor, tell or _say)
    if driven.failed:
        key, why = next(iter(driven.failed.items()))
        left = len(driven.plan.jobs) - len(driven.done)
        raise SomeFailed(
            f"{len(driven.failed)} of {len(driven.plan.jobs)} jobs failed and {left} are not done; "
            f"{driven.plan.jobs[key].stage} {key}: {why}"
        )
    return driven


def status(spec: StudyStatusSpec) -> pl.DataFrame:
    """Return jobs per stage: all that are known, done, and left."""
    opened = open_study(spec)
    done = opened.store.recorded()
    rows = [{"stage": job.stage, "done": job.key in done} for job in opened.plan.jobs.values()]
    return (
        pl.DataFrame(rows)
        .group_by("stage", maintain_order=True)
        .agg(jobs=pl.len(), done=pl.col("done").sum())
        .with_columns(left=pl.col("jobs") - pl.col("done"))
    )


def results(spec: StudyResultsSpec) -> pl.DataFrame:
    """Return the results table, and write it where `out` says.

    Raises:
        BadInput: `out` is neither .csv nor .parquet.
    """
    opened = open_study(spec)
    table = results_table(opened.store, opened.study, opened.plan)
    if spec.out is None:
        return table
    if spec.out.suffix == ".parquet":
        write_parquet(spec.out, table)
    elif spec.out.suffix == ".csv":
        write_atomic(spec.out, table.write_csv)
    else:
        raise BadInput(f"--out {spec.out} was given; allowed: a file named .csv or .parquet")
    return table


def clean(spec: StudyCleanSpec) -> pl.DataFrame:
    """Return what no study of the store needs; with `yes` it is removed."""
    opened = open_study(spec)
    found = unneeded(opened.store, opened.plan)
    if spec.yes:
        return remove(opened.store, found)
    rows = [{"stage": job.stage, "key": job.key, "removed": False} for job in found.jobs]
    return pl.DataFrame(rows, schema=REMOVED)


def open_study(spec: StudySpec) -> Opened:
    """Read a study and plan it with what its store holds."""
    study, store = _read(spec)
    return Opened(study, store, plan_study(study, find_inputs(study), DevScores(store)))


def plan(spec: StudyRunSpec) -> dict[str, Any]:
    """Return what `run` would do."""
    from sixtyfold.study.estimate import estimate

    return estimate(*open_study(spec))


def _read(spec: StudySpec) -> tuple[StudyFile, Store]:
    study = read_study(spec.file)
    return study, open_store(spec.store or study.store)


@contextlib.contextmanager
def _executor(spec: StudyRunSpec, study: StudyFile, store: Store) -> Iterator[Executor]:
    if spec.ray is None:
        yield LocalExecutor(store)
        return
    from sixtyfold.study.cluster import RayExecutor

    yield RayExecutor(study, store, spec.ray)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
