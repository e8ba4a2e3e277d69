"""`sixtyfold study status`: what is done, running, failed and left, and what was made otherwise."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import Corrupted, IncompleteInput
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import package_versions
from sixtyfold.study.any_store import Store
from sixtyfold.study.jobs import Job
from sixtyfold.study.plan import Inputs, Plan
from sixtyfold.study.progress import words_of
from sixtyfold.study.records import WEIGHTS_DIFFER, Record

_OF_A_MODEL = ("model", "base")


class Told(NamedTuple):
    """A job that status names.

    cell: what all its cells have in common.
    reason: why it failed, where it did.
    """

    stage: str
    key: str
    cell: str
    reason: str = ""


class Status(NamedTuple):
    """What a store holds of a study.

    stages: one row per stage: jobs, done, running, failed, left (neither done nor running).
    choices_open: dev answers that choices still wait for; more jobs follow from them.
    failed: jobs whose last run failed, with the reason.
    running: jobs that a process works on now.
    other_versions: "PACKAGE VERSION" to how many results of the study were made with it, where
        another version is here now.
    other_inputs: name of a model (or `facts`) to how many results of the store were made from
        earlier contents of what it names; they count for nothing here.
    other_weights: trainings whose removed weights were made again, and not the same bit for bit:
        what was measured of them before and after is of two trainings.
    damaged: recorded jobs whose files are not what was written, with the reason; None where files
        were not read.
    """

    stages: pl.DataFrame
    choices_open: int
    failed: list[Told]
    running: list[Told]
    other_versions: dict[str, int]
    other_inputs: dict[str, int]
    other_weights: list[Told]
    damaged: list[Told] | None


def status_of(store: Store, plan: Plan, inputs: Inputs, *, verify: bool = False) -> Status:
    """Look at what a store holds of a plan.

    Args:
        store: where results lie.
        plan: the study's.
        inputs: what the study file names, as it is now.
        verify: read every file of what is recorded.
    """
    done = store.recorded()
    left = [job for job in plan.jobs.values() if job.key not in done]
    running = store.running(left)
    failures = {each.key: each.reason for each in store.failures() if each.key not in running}
    failed = [job for job in left if job.key in failures]
    words = words_of(plan)

    def told(job: Job) -> Told:
        reason = failures.get(job.key, "")
        return Told(job.stage, job.key, words.get(job.key, ""), reason)

    states = {
        "done": done & set(plan.jobs),
        "running": running,
        "failed": {job.key for job in failed},
        "left": {job.key for job in left} - running,
    }
    records = _records(store, done)
    return Status(
        _by_stage(plan, states),
        len(frozenset().union(*plan.open_choices) - done),
        [told(job) for job in failed],
        [told(job) for job in left if job.key in running],
        _other_versions([each for each in records if each.key in plan.jobs]),
        _other_inputs([each for each in records if each.key not in plan.jobs], inputs),
        [told(plan.jobs[key]) for key in sorted(_differing(store) & set(plan.jobs))],
        list(_damaged(store, plan, done, words)) if verify else None,
    )


def _damaged(store: Store, plan: Plan, done: set[str], words: dict[str, str]) -> Iterator[Told]:
    recorded = [job for job in plan.jobs.values() if job.key in done]
    for job in progress(recorded, "reading results", len(recorded)):
        try:
            store.verify(job)
        except (Corrupted, IncompleteInput) as error:
            yield Told(job.stage, job.key, words.get(job.key, ""), str(error))


def _differing(store: Store) -> set[str]:
    return {str(each["key"]) for each in store.events() if each["event"] == WEIGHTS_DIFFER}


def _by_stage(plan: Plan, states: dict[str, set[str]]) -> pl.DataFrame:
    counts = {name: Counter(plan.jobs[key].stage for key in keys) for name, keys in states.items()}
    jobs = Counter(job.stage for job in plan.jobs.values())
    return pl.DataFrame(
        [
            {"stage": stage, "jobs": count, **{name: counts[name][stage] for name in states}}
            for stage, count in jobs.items()
        ]
    )


def _records(store: Store, keys: set[str]) -> list[Record]:
    """Return the readable records; the others are named and made again by a run."""
    found = []
    for key in sorted(keys):
        with contextlib.suppress(Corrupted, IncompleteInput):
            found.append(store.record(key))
    return found


def _other_versions(records: list[Record]) -> dict[str, int]:
    here = package_versions()
    return dict(
        Counter(
            f"{name} {version}"
            for record in records
            for name, version in sorted(record.packages.items())
            if here.get(name) != version
        )
    )


def _other_inputs(records: list[Record], inputs: Inputs) -> dict[str, int]:
    """Count results whose record names the same model or facts with other contents."""
    named = [(name, each, field) for name, each in inputs.models.items() for field in _OF_A_MODEL]
    named.append(("facts", inputs.facts, "facts"))
    found: Counter[str] = Counter()
    for record in records:
        for name, place, field in named:
            if record.options.get(field) == place.reference:
                found[name] += record.reads.get(field) != place.fingerprint
    return {name: count for name, count in found.items() if count}
