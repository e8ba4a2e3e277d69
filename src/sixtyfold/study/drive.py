"""The loop of a study: give out the jobs whose inputs are there until none is left.

Everything that survives lies in the store; a driver that is killed is replaced by the next one, and
two drivers share the work.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from sixtyfold.core.errors import Corrupted, IncompleteInput
from sixtyfold.study.any_store import Store
from sixtyfold.study.choice import DevScores
from sixtyfold.study.definitions import kept_by_others
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Job
from sixtyfold.study.plan import Inputs, Plan, plan_study
from sixtyfold.study.progress import Progress, words_of
from sixtyfold.study.results import write_cells
from sixtyfold.study.stages import MAKES_WEIGHTS
from sixtyfold.study.work import Outcome


class Executor(Protocol):
    """Runs jobs, one or many at a time."""

    slots: int
    """How many jobs it takes before one has to be waited for."""

    def submit(self, job: Job, reads: Mapping[str, Job], *, again: bool) -> None:
        """Take a job; `again` where its recorded checkpoint was removed and is needed."""

    def finished(self) -> Outcome:
        """Wait for one of the jobs taken, and return what became of it."""


class Driven(NamedTuple):
    """What became of a study.

    plan: all jobs that are known to be needed.
    done: keys of those that are recorded.
    failed: key to the line why.
    """

    plan: Plan
    done: frozenset[str]
    failed: dict[str, str]


Tell = Callable[[str], None]

_LONGEST_PAUSE = 16
"""Times the store's pause: how long to wait at most for what other drivers do."""


def drive(
    study: StudyFile,
    inputs: Inputs,
    store: Store,
    executor: Executor,
    tell: Tell,
    *,
    verify: bool = False,
) -> Driven:
    """Run a study until nothing is left that can be done.

    Args:
        study: the file.
        inputs: what it names, found.
        store: where results lie.
        executor: who runs the jobs.
        tell: is given a line for every job that was finished, failed or is made again.
        verify: read every file of what is recorded first, not only its size.
    """
    return _Drive(study, inputs, store, executor, tell).run(verify=verify)


class _Drive:
    def __init__(
        self, study: StudyFile, inputs: Inputs, store: Store, executor: Executor, tell: Tell
    ) -> None:
        self.study = study
        self.inputs = inputs
        self.store = store
        self.executor = executor
        self.tell = tell
        self.scores = DevScores(store)
        self.failed: dict[str, str] = {}
        self.running: set[str] = set()
        self.busy: set[str] = set()
        self.done: set[str] = set()
        self.unknown: set[str] = set()
        self.jobs: dict[str, Job] = {}
        self.pauses = 1

    def run(self, *, verify: bool) -> Driven:
        self.look()
        self.refuse_damaged(self.store.verify if verify else self.store.check)
        self.progress = Progress(self.store, self.plan.jobs, self.done)
        while any(self.ready()):  # what was made may decide on more
            while self.step():
                pass
            self.look()
        self.drop_weights(self.plan.jobs)
        return Driven(self.plan, frozenset(self.done & set(self.plan.jobs)), self.failed)

    def look(self) -> None:
        """Plan again with what is known now, also what others did meanwhile."""
        self.done = self.store.recorded()
        self.plan = plan_study(self.study, self.inputs, self.scores)
        self.words = words_of(self.plan)
        self.jobs |= self.plan.jobs  # one that runs may leave the plan: a choice is open again
        self.readers = defaultdict(list)
        for job in self.plan.jobs.values():
            for key in job.after:
                self.readers[key].append(job.key)
        recorded = [job for job in self.plan.jobs.values() if job.key in self.done]
        self.gone = {job.key for job in recorded if self.is_gone(job)}
        self.done -= self.gone
        self.left = [job for job in self.plan.jobs.values() if job.key not in self.done]
        for key, why in list(self.scores.damaged.items()):
            self.make_again(self.plan.jobs[key], why)
        self.failed |= self.scores.undefined
        write_cells(self.store, self.study, self.plan)

    def is_gone(self, job: Job) -> bool:
        """Whether a recorded checkpoint was removed and is read by a job that is not done.

        Another driver records what reads it before it removes it, so that is looked up after.
        """
        if job.stage not in MAKES_WEIGHTS or self.store.has_files(job):
            return False
        return not all(self.store.is_recorded(key) for key in self.readers[job.key])

    def refuse_damaged(self, check: Callable[[Job], None]) -> None:
        """Forget recorded results whose files are not what they were."""
        for job in self.plan.jobs.values():
            if job.key in self.done:
                try:
                    check(job)
                except (Corrupted, IncompleteInput) as error:
                    self.make_again(job, str(error))

    def make_again(self, job: Job, why: str) -> None:
        with self.store.claim(job, ()) as ours:
            if ours:
                self.tell(f"{job.stage} {job.key} is made again: {why}")
                self.store.forget(job)
        self.scores.forget(job.key)
        self.done.discard(job.key)
        self.left = [each for each in self.plan.jobs.values() if each.key not in self.done]

    def step(self) -> bool:
        """Give out what can be done and take one outcome; False when nothing is left."""
        for job in self.ready():
            self.executor.submit(job, self.reads(job), again=job.key in self.gone)
            self.running.add(job.key)
        if self.running:
            self.take(self.executor.finished())
            return True
        if self.busy:
            time.sleep(self.store.pause * self.pauses)
            self.pauses = min(2 * self.pauses, _LONGEST_PAUSE)
            self.busy.clear()
            self.look()
            return True
        return False

    def ready(self) -> Iterable[Job]:
        """Yield the jobs that can be done now, as many as the executor takes."""
        room = self.executor.slots - len(self.running)
        for job in self.left:
            if room <= 0:
                return
            key = job.key
            if key in self.done or key in self.running or key in self.busy or key in self.failed:
                continue
            if all(each in self.done for each in job.after):
                room -= 1
                yield job

    def reads(self, job: Job) -> dict[str, Job]:
        return {key: self.jobs[key] for key in job.after}

    def take(self, outcome: Outcome) -> None:
        """Note what became of a job."""
        self.running.discard(outcome.key)
        job = self.jobs[outcome.key]
        if outcome.state != "busy":
            self.pauses = 1
        if outcome.state == "done":
            self.done.add(job.key)
            self.left = [each for each in self.left if each.key != job.key]
            words = self.words.get(job.key, "")
            self.tell(self.progress.line(job, self.plan, words, self.left))
            if any(job.key in needed <= self.done for needed in self.plan.open_choices):
                self.look()
                self.drop_weights(self.plan.jobs)
            self.drop_weights(job.after)
        elif outcome.state == "busy":
            self.busy.add(job.key)
        elif outcome.state == "damaged":
            self.make_again(self.jobs[outcome.damaged], outcome.message)
        else:
            self.failed[job.key] = outcome.message
            cell = f" ({self.words[job.key]})" if job.key in self.words else ""
            self.tell(f"{job.stage} {job.key}{cell} failed: {outcome.message}")

    def drop_weights(self, keys: Iterable[str]) -> None:
        """Remove checkpoints that no job of the plan, no open choice and no other study keeps."""
        if self.study.keep_checkpoints:
            return
        jobs = [self.plan.jobs[key] for key in keys if key in self.plan.jobs]
        served = [job for job in jobs if self.has_served(job) and self.store.holds_weights(job)]
        if not served:
            return
        kept = kept_by_others(self.store, self.study.name)
        if kept.unknown:
            self.tell_of_unknown(kept.unknown)
            return
        for job in served:
            if job.key not in kept.keys:
                self.store.drop_weights(job)

    def tell_of_unknown(self, studies: Iterable[str]) -> None:
        """Say once of every study with damaged cells why no weights are removed."""
        for name in sorted(set(studies) - self.unknown):
            self.unknown.add(name)
            self.tell(
                f"weights are kept, as studies/{name}/cells.parquet of the store is damaged and "
                f"nobody knows which of them {name} needs; run {name}, then this study again"
            )

    def has_served(self, job: Job) -> bool:
        """Whether a job is done, makes a checkpoint, and all that reads it is done."""
        if job.stage not in MAKES_WEIGHTS or job.key in self.plan.waiting:
            return False
        return job.key in self.done and all(key in self.done for key in self.readers[job.key])
