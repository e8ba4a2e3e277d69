"""Locks between the processes of machines that share a directory; a killed process holds none."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def locked(folder: Path, own: str, shared: Iterable[str]) -> Iterator[bool]:
    """Hold a lock alone, and others together with whoever else shares them.

    Args:
        folder: where the lock files lie.
        own: name of the lock that is held alone.
        shared: names of locks that are held shared.

    Yields:
        False where another process holds one of them otherwise.
    """
    held: list[IO[str]] = []
    try:
        yield _lock(folder / own, fcntl.LOCK_EX, held) and all(
            _lock(folder / name, fcntl.LOCK_SH, held) for name in shared
        )
    finally:
        for handle in held:
            handle.close()


def is_locked(folder: Path, name: str) -> bool:
    """Whether another process holds a lock alone."""
    path = folder / name
    if not path.is_file():
        return False
    held: list[IO[str]] = []
    try:
        return not _lock(path, fcntl.LOCK_SH, held)
    finally:
        for handle in held:
            handle.close()


def _lock(path: Path, kind: int, held: list[IO[str]]) -> bool:
    handle = path.open("w")
    held.append(handle)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
