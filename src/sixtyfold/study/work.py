"""One job done by one process, with the result in the store or a line why not.

The same function runs in the driver, in a Ray worker, and where a job was left by a killed one.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput, OtherResult, SixtyfoldError
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import Finished
from sixtyfold.study.any_store import Store
from sixtyfold.study.inputs import folder_fingerprint
from sixtyfold.study.jobs import Job, Place
from sixtyfold.study.numbers import numbers_of
from sixtyfold.study.open_store import open_store
from sixtyfold.study.records import WEIGHTS_DIFFER, weights_differ
from sixtyfold.study.stages import FOLDERS, STAGES


class Outcome(NamedTuple):
    """What became of a job.

    state: `done`; `busy` where another process runs it or one of its inputs is not there;
        `failed`; `damaged` where the result of the job `damaged` that it reads is not what was
        written.
    """

    key: str
    state: Literal["done", "busy", "failed", "damaged"]
    message: str = ""
    damaged: str = ""


def work(job: Job, reads: Mapping[str, Job], store: Store, *, again: bool = False) -> Outcome:
    """Run a job unless it is done or somebody else runs it.

    Args:
        job: the job.
        reads: the jobs whose results it reads, by key.
        store: where results lie.
        again: make a checkpoint whose weights were removed anew. Without it such a job is `busy`:
            another driver may have made it and all that reads it since the caller looked.
    """
    with store.claim(job, reads.values()) as ours:
        if not ours:
            return Outcome(job.key, "busy")
        if store.is_recorded(job.key):
            if store.has_files(job):
                return Outcome(job.key, "done")
            if not again:
                return Outcome(job.key, "busy")
        for each in reads.values():
            try:
                store.open(each)
            except Corrupted as error:
                return Outcome(job.key, "damaged", str(error), each.key)
            except IncompleteInput:  # a checkpoint that was removed: the driver makes it again
                return Outcome(job.key, "busy")
        return _run(job, reads, store)


def work_at(url: str, job: Job, reads: Mapping[str, Job], *, again: bool = False) -> Outcome:
    """Do `work` in a process that has only the store's address."""
    return work(job, reads, open_store(url), again=again)


def _run(job: Job, reads: Mapping[str, Job], store: Store) -> Outcome:
    try:
        try:
            _make(job, reads, store)
        except (OtherResult, Corrupted):  # what a killed run left is of other inputs, or damaged
            store.forget(job)
            _make(job, reads, store)
    except (SixtyfoldError, OSError) as error:
        reason = " ".join(str(error).split())
        store.write_failure(job, reason, "")
        return Outcome(job.key, "failed", reason)
    except Exception as error:  # noqa: BLE001 - one failing job must not end the others
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        where = store.write_failure(job, reason, traceback.format_exc())
        return Outcome(job.key, "failed", f"{reason} (details: {where})")
    return Outcome(job.key, "done")


def _make(job: Job, reads: Mapping[str, Job], store: Store) -> None:
    store.begin(job)
    start = time.monotonic()
    result = STAGES[job.stage].run(spec_of(job, reads, store))
    _refuse_changed(job, result, store)
    seconds = time.monotonic() - start
    before = store.record(job.key) if store.is_recorded(job.key) else None
    store.save(job, result, numbers_of(result), seconds)
    if before is not None and weights_differ(before, store.record(job.key)):
        store.log(WEIGHTS_DIFFER, job)


def _refuse_changed(job: Job, result: Finished, store: Store) -> None:
    """Refuse a result of another model or fact set than the one the job's key is made of.

    Raises:
        BadInput: what was read is not what it was when the study was planned.
    """
    if job.options.get("allow_pickle"):  # then a stage counts files that the plan does not
        return
    for name, source in job.reads.items():
        if not isinstance(source, Place):
            continue
        if name in FOLDERS.get(job.stage, ()):
            found = folder_fingerprint(source.reference)
        else:
            found = result.manifest["inputs"].get(name, source.fingerprint)
        if found != source.fingerprint:
            store.forget(job)
            raise BadInput(
                f"{source.reference} was {source.fingerprint} when the study was planned and was "
                f"{found} when {job.stage} read it; give the command again once it stays as it is"
            )


def spec_of(job: Job, reads: Mapping[str, Job], store: Store) -> StageSpec:
    """Return the spec of a job's stage with all places filled in."""
    places: dict[str, Any] = {"out": store.place(job)}
    for name, source in job.reads.items():
        if isinstance(source, Place):
            places[name] = source.reference
        elif isinstance(source, str):
            places[name] = str(store.place(reads[source]))
        else:
            places[name] = [str(store.place(reads[each])) for each in source]
    return STAGES[job.stage].spec_class().parse({**job.options, **places})
