"""Jobs in this process, one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from sixtyfold.study.any_store import Store
from sixtyfold.study.jobs import Job
from sixtyfold.study.work import Outcome, work


class LocalExecutor:
    """Runs a job when its outcome is asked for."""

    slots = 1

    def __init__(self, store: Store) -> None:
        self.store = store
        self.taken: deque[tuple[Job, Mapping[str, Job], bool]] = deque()

    def submit(self, job: Job, reads: Mapping[str, Job], *, again: bool) -> None:
        """Take a job."""
        self.taken.append((job, reads, again))

    def finished(self) -> Outcome:
        """Run the job taken first."""
        job, reads, again = self.taken.popleft()
        return work(job, reads, self.store, again=again)
