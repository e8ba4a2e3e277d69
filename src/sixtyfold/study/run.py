"""The commands of a study: `run`, `status`, `results`, `contrast`, `repairs`, `clean`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core import verbosity
from sixtyfold.core.atomic_files import write_atomic, write_parquet
from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.study.any_store import Store
from sixtyfold.study.choice import DevScores
from sixtyfold.study.clean import removed, unneeded
from sixtyfold.study.contrasts import Question, contrasts
from sixtyfold.study.definitions import note_study, refuse_other
from sixtyfold.study.drive import Driven, Executor, Tell, drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.inputs import find_inputs
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.open_store import NoStore, open_store
from sixtyfold.study.plan import DevScore, Inputs, Plan, plan_study
from sixtyfold.study.reading import read_study
from sixtyfold.study.repairs import over_seeds
from sixtyfold.study.results import results_table
from sixtyfold.study.spec import (
    StudyCleanSpec,
    StudyContrastSpec,
    StudyRepairsSpec,
    StudyResultsSpec,
    StudyRunSpec,
    StudySpec,
    StudyStatusSpec,
)
from sixtyfold.study.status import Status, status_of


class Opened(NamedTuple):
    """A study with its store, planned with what is there."""

    study: StudyFile
    inputs: Inputs
    store: Store
    plan: Plan


class SomeFailed(SixtyfoldError):
    """A study went on to its end and some of its jobs failed or could not be done."""


def run(spec: StudyRunSpec, tell: Tell | None = None) -> Driven:
    """Run what is left of a study.

    Raises:
        BadInput: the file, what it names or the store is not usable.
        SomeFailed: jobs failed; the others are done.
    """
    study, inputs = _read(spec)
    whole = whole_plan(study, inputs)
    store = open_store(spec.store or study.store)
    tell = tell or _say
    with _executor(spec, study, store, whole, tell) as executor:
        earlier = note_study(store, study, whole, spec.file, instead=spec.instead)
        if earlier is not None:
            tell(
                f"{earlier.words()} results of {study.name} as {earlier.file} on {earlier.host} "
                "described it are not of this study; 'sixtyfold study clean' lists them"
            )
        driven = drive(study, inputs, store, executor, tell, verify=spec.verify)
    left = len(driven.plan.jobs) - len(driven.done)
    if driven.failed:
        key, why = next(iter(driven.failed.items()))
        job = driven.plan.jobs.get(key)
        raise SomeFailed(
            f"{len(driven.failed)} of {len(driven.plan.jobs)} jobs failed and {left} are not done; "
            f"{job.stage if job else 'job'} {key}: {why}; 'sixtyfold study status' names them all"
        )
    if left or driven.plan.open_choices:
        raise SomeFailed(
            f"{left} of {len(driven.plan.jobs)} jobs are not done, as another process took away "
            "what they read; give the same command again"
        )
    return driven


def status(spec: StudyStatusSpec) -> Status:
    """Return what is done, running, failed and left, and what is of other versions or weights."""
    opened = open_study(spec)
    return status_of(opened.store, opened.plan, opened.inputs, verify=spec.verify)


def results(spec: StudyResultsSpec) -> pl.DataFrame:
    """Return the results table, and write it where `out` says.

    Raises:
        BadInput: `out` is neither .csv nor .parquet.
    """
    opened = open_study(spec)
    return _written(results_table(opened.store, opened.study, opened.plan), spec.out)


def contrast(spec: StudyContrastSpec) -> pl.DataFrame:
    """Return how trainings differ, and write it where `out` says.

    Raises:
        BadInput: as `contrasts` does, or `out` is neither .csv nor .parquet.
    """
    opened = open_study(spec)
    question = Question(spec.vary, spec.against, spec.grid, spec.measure, spec.split)
    return _written(contrasts(opened.store, opened.study, opened.plan, question), spec.out)


def repairs(spec: StudyRepairsSpec) -> pl.DataFrame:
    """Return what searches found over the seeds, and write it where `out` says.

    Raises:
        BadInput: as `over_seeds` does, or `out` is neither .csv nor .parquet.
    """
    opened = open_study(spec)
    return _written(over_seeds(opened.store, opened.study, opened.plan), spec.out)


def _written(table: pl.DataFrame, out: Path | None) -> pl.DataFrame:
    if out is None:
        return table
    if out.suffix == ".parquet":
        write_parquet(out, table)
    elif out.suffix == ".csv":
        lists = pl.selectors.by_dtype(pl.List(pl.String))
        write_atomic(out, table.with_columns(lists.list.join(" ")).write_csv)
    else:
        raise BadInput(f"--out {out} was given; allowed: a file named .csv or .parquet")
    return table


def clean(spec: StudyCleanSpec) -> pl.DataFrame:
    """Return what no study of the store needs; with `yes` it is removed.

    Raises:
        BadInput: it is to be removed, and another file describes a study of this name.
    """
    opened = open_study(spec)
    if spec.yes:
        refuse_other(opened.store, opened.study, opened.plan, spec.file)
    return removed(opened.store, unneeded(opened.store, opened.plan), yes=spec.yes)


def open_study(spec: StudySpec) -> Opened:
    """Read a study and plan it with what its store holds.

    Raises:
        BadInput: the file or what it names is not usable, or nothing was run yet.
    """
    study, inputs = _read(spec)
    store = open_store(spec.store or study.store, make=False)
    return Opened(study, inputs, store, plan_study(study, inputs, DevScores(store)))


def plan(spec: StudyRunSpec) -> dict[str, Any]:
    """Return what `run` would do, leaving no trace where there is no store yet."""
    from sixtyfold.study.estimate import estimate

    study, inputs = _read(spec)
    with tempfile.TemporaryDirectory() as nothing:
        try:
            store = open_store(spec.store or study.store, make=False)
        except NoStore:
            store = open_store(str(Path(nothing) / "store"))
        known = plan_study(study, inputs, DevScores(store))
        return estimate(study, store, known, whole_plan(study, inputs, DevScores(store)))


def whole_plan(study: StudyFile, inputs: Inputs, dev_score: DevScore = lambda _: None) -> Plan:
    """Plan also what follows from open choices, as if the first candidate were chosen.

    Raises:
        BadInput: a stage refuses the options of a job.
    """
    return plan_study(study, inputs, lambda keys: dev_score(keys) or 0.0)


def _read(spec: StudySpec) -> tuple[StudyFile, Inputs]:
    study = read_study(spec.file)
    return study, find_inputs(study)


@contextlib.contextmanager
def _executor(
    spec: StudyRunSpec, study: StudyFile, store: Store, whole: Plan, tell: Tell
) -> Iterator[Executor]:
    if spec.ray is None:
        yield LocalExecutor(store)
        return
    from sixtyfold.study.cluster import RayExecutor

    executor = RayExecutor(study, store, spec.ray)
    stages = {job.stage for job in whole.jobs.values()}
    executor.refuse_too_large(stages, tell, grows=spec.ray_grows)
    yield executor


def _say(line: str) -> None:
    verbosity.tell(line)
