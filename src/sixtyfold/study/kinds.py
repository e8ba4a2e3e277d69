"""Kinds of jobs: which cost the same, and what of those that are recorded they took."""

from __future__ import annotations

import contextlib
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping

from sixtyfold.core.errors import Corrupted, IncompleteInput
from sixtyfold.study.any_store import Store
from sixtyfold.study.jobs import Job, Place

_FREE = ("seed", "learning_rate", "levels", "index")
"""Options that cost nothing."""


def kind_of(job: Job, jobs: Mapping[str, Job]) -> str:
    """Return what jobs of equal cost share: options, model, number of examples.

    Args:
        job: of which.
        jobs: all jobs of its plan, by key.
    """
    options = {name: value for name, value in sorted(job.options.items()) if name not in _FREE}
    selection = job.reads.get("selection")
    examples = jobs[selection].options.get("size", 60) if isinstance(selection, str) else None
    return f"{job.stage} {options} {model_behind(job, jobs)} {examples}"


def model_behind(job: Job, jobs: Mapping[str, Job]) -> str | None:
    """Return the untuned model that a job reads, or of which it reads a tuned one."""
    for name in ("model", "base"):
        source = job.reads.get(name)
        if isinstance(source, Place):
            return source.reference
        if isinstance(source, str):
            return model_behind(jobs[source], jobs)
    return None


class Took:
    """Seconds of recorded jobs, by kind and by stage."""

    def __init__(self) -> None:
        self.by_kind: dict[str, list[float]] = defaultdict(list)
        self.by_stage: dict[str, list[float]] = defaultdict(list)
        self.kinds: dict[str, str] = {}

    def add(self, store: Store, added: Iterable[Job], jobs: Mapping[str, Job]) -> float:
        """Look up what recorded jobs took; return the sum."""
        total = 0.0
        for job in added:
            with contextlib.suppress(Corrupted, IncompleteInput):
                seconds = store.record(job.key).seconds
                self.by_kind[self._kind(job, jobs)].append(seconds)
                self.by_stage[job.stage].append(seconds)
                total += seconds
        return total

    def like(self, job: Job, jobs: Mapping[str, Job], *, stage: bool = False) -> float | None:
        """Return the median of jobs of this kind, or (`stage`) else of this stage, if any."""
        found = self.by_kind.get(self._kind(job, jobs))
        if not found and stage:
            found = self.by_stage.get(job.stage)
        return statistics.median(found) if found else None

    def _kind(self, job: Job, jobs: Mapping[str, Job]) -> str:
        if job.key not in self.kinds:
            self.kinds[job.key] = kind_of(job, jobs)
        return self.kinds[job.key]
