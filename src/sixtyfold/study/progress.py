"""What a driver says of each job: which cell it belongs to, what it took, what time is left."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sixtyfold.study.any_store import Store
from sixtyfold.study.jobs import Job
from sixtyfold.study.kinds import Took
from sixtyfold.study.plan import Cell, Plan

_ALWAYS = ("grid", "size", "levels", "learning_rate", "seed")
_UNNAMED = ("grid", "model")


class Progress:
    """Counts seconds, and puts jobs into words."""

    def __init__(self, store: Store, jobs: Mapping[str, Job], done: Iterable[str]) -> None:
        """Start the clock.

        Args:
            store: holds what earlier jobs took.
            jobs: of the plan, by key.
            done: keys of those that are recorded.
        """
        self.store = store
        self.took = Took()
        self.took.add(store, [jobs[key] for key in done if key in jobs], jobs)
        self.start = time.monotonic()
        self.worked = 0.0

    def line(self, job: Job, plan: Plan, words: str, left: list[Job]) -> str:
        """Return the line of a job that was just recorded.

        Args:
            job: of which.
            plan: in which it is.
            words: its cell in words.
            left: the jobs that are not done.
        """
        seconds = self.took.add(self.store, [job], plan.jobs)
        self.worked += seconds
        count = f"{len(plan.jobs) - len(left)}/{len(plan.jobs)} {job.stage}"
        parts = [f"{count}: {words}" if words else count, in_words(seconds), self._left(plan, left)]
        return "; ".join(part for part in parts if part)

    def _left(self, plan: Plan, left: list[Job]) -> str:
        """Return the time left: of jobs like those that were seen, as many at once as before."""
        costs = [self.took.like(job, plan.jobs, stage=True) for job in left]
        at_once = max(1.0, self.worked / max(time.monotonic() - self.start, 1e-9))
        known = sum(cost for cost in costs if cost is not None) / at_once
        if not left or not any(costs):
            return ""
        least = "at least " if None in costs or plan.open_choices else ""
        return f"{least}{in_words(known)} left"


def words_of(plan: Plan) -> dict[str, str]:
    """Return a job's cell in words, by key: what is asked, grid, size, levels, ..., seed.

    Of a job of several cells it is what they have in common. Settings that are the same in the
    whole plan are left out, but for those of `_ALWAYS`.
    """
    cells: dict[str, list[tuple[str, Cell]]] = {}
    for cell in plan.cells:
        for role, key in cell.jobs.items():
            cells.setdefault(key, []).append((role, cell))
    names = {name: None for cell in plan.cells for name in cell.labels}
    values = {name: {repr(cell.labels.get(name)) for cell in plan.cells} for name in names}
    told = [name for name in names if name in _ALWAYS or len(values[name]) > 1]
    words = {}
    for key, found in cells.items():
        labels = [cell.labels for _, cell in found]
        asked = {role for role, _ in found} - {plan.jobs[key].stage}
        first = sorted(asked) if len(asked) == 1 else []
        words[key] = ", ".join([*first, *_common(labels, told)])
    return words


def _common(labels: list[dict[str, Any]], told: list[str]) -> Iterator[str]:
    """Yield the settings that all labels agree in, the seed last."""
    for name in sorted(told, key=lambda each: each == "seed"):
        value = labels[0].get(name)
        if value is not None and all(each.get(name) == value for each in labels):
            yield _plain(value) if name in _UNNAMED else f"{name} {_plain(value)}"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_words(seconds: float) -> str:
    """Return a time in words.

    >>> in_words(0.4), in_words(95), in_words(7300)
    ('0.4 s', '2 min', '2 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
