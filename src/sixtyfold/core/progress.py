"""Progress on the error stream: a bar in a terminal, a line now and then in a log file."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from sixtyfold.core.verbosity import is_quiet, tell

Item = TypeVar("Item")

FIRST_LINE = 15.0
"""Seconds after which a log file has its first line about a piece of work."""
NEXT_LINE = 60.0
"""Seconds between further lines."""


@contextlib.contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how far a block is and the time left.

    In a terminal a bar; elsewhere lines without control characters, none for what is soon done.

    Args:
        what: name of the work, shown before the bar.
        total: number of steps.

    Yields:
        a function to call after each step.
    """
    if is_quiet():
        yield lambda: None
    elif draws():
        with _bar(what, total) as advance:
            yield advance
    else:
        yield _Lines(what, total).advance


def progress(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield the items while a bar shows how many are done and the time left."""
    with progress_bar(what, total) as advance:
        for item in items:
            yield item
            advance()


def draws() -> bool:
    """Whether the error stream is a terminal that understands control characters."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


@contextlib.contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


class _Lines:
    """Says from time to time how far a piece of work is."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._due = self._start + FIRST_LINE

    def advance(self) -> None:
        """Count a step, and say so when it is time."""
        self._done += 1
        now = time.monotonic()
        if now >= self._due and self._done < self._total:
            self._due = now + NEXT_LINE
            left = (now - self._start) / self._done * (self._total - self._done)
            tell(f"{self._what}: {self._done} of {self._total}, about {duration(left)} left")


def duration(seconds: float) -> str:
    """Write a duration as people say it.

    >>> duration(7.2), duration(100), duration(3600 * 5.5)
    ('7 s', '2 min', '5 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
