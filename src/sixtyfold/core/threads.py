"""Work on several threads with results in order, so that their number changes nothing."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: More threads than this wait for memory, not for the processor.
_MOST = 8


def thread_count() -> int:
    """Return how many threads this process may use, at most eight."""
    if hasattr(os, "sched_getaffinity"):
        return min(_MOST, len(os.sched_getaffinity(0)))
    return min(_MOST, os.cpu_count() or 1)


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None
) -> Iterator[Result]:
    """Give `work(item)` of every item, in the order of the items, made on several threads.

    At most two results a thread are made ahead of the one that is asked for. Pays where `work`
    spends its time in NumPy or in hashing, which let other threads run.

    Args:
        work: called once an item, on any thread.
        items: taken one by one, on the caller's thread.
        threads: number of threads; `thread_count` without it.

    Raises:
        Exception: the first one of `work`, when its turn comes.

    >>> list(in_order(lambda number: number**2, range(5)))
    [0, 1, 4, 9, 16]
    """
    count = threads or thread_count()
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > 2 * count:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
