"""Leases: who runs a job, and who reads a checkpoint, among machines that share only a store.

A lease is a file claims/KEY/000001.json with its owner and the time it ends; the owner writes a
later time into it while it works. The next one to run the job makes the file with the next number,
and the highest number counts. `create` of the store decides who made it.

What this promises depends on the store. Where a file can be created only if it is not there (local
and memory file systems, S3 and Google storage through current s3fs and gcsfs), one of two drivers
gets the lease. Elsewhere both may: each reads its lease again after writing, which leaves a short
moment in which a job may be done twice. It is also done twice where a machine stands still for
longer than a lease lasts, or clocks differ by more than that. A job that is done twice costs time
and nothing else: files are stored by their contents, and one record wins.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.study.remote_files import RemoteFiles

SECONDS = 90.0
"""How long a lease lasts after its owner last wrote it."""

_PATIENCE = 10.0
"""Seconds to wait for a lease that is just being written."""

_WRITING = 2.0
"""Seconds in which a lease that was made must be readable."""

_PARTS = 4
"""A lease is written again after this part of its time."""


class Leases:
    """The leases of one machine in a store."""

    def __init__(self, files: RemoteFiles, machine: str, seconds: float = SECONDS) -> None:
        """Take part.

        Args:
            files: of the store.
            machine: who asks. Leases of the same machine are taken over at once: its processes
                exclude each other by locks, so whoever asks knows that the owner is gone.
            seconds: how long a lease lasts.
        """
        self.files = files
        self.machine = machine
        self.seconds = seconds

    @contextlib.contextmanager
    def hold(self, key: str, reads: Iterable[str]) -> Iterator[bool]:
        """Hold the lease of a job, and leases that keep what it reads from being removed.

        Yields:
            False where another machine runs the job, or one of those it reads.
        """
        held: list[str] = []
        ended = threading.Event()
        beat = threading.Thread(target=self._beat, args=(held, ended), daemon=True)
        try:
            ours = self._take(key, held) and all(self._read(each, held) for each in reads)
            beat.start()
            yield ours
        finally:
            ended.set()
            if beat.ident is not None:
                beat.join(_PATIENCE)
            with contextlib.suppress(SixtyfoldError):  # they end by themselves
                self.files.remove(held)

    def is_read(self, key: str) -> bool:
        """Whether another machine reads the result of a job."""
        return any(self._is_live(name) for name in self.files.sizes(f"readers/{key}"))

    def is_taken(self, key: str) -> bool:
        """Whether another machine runs a job."""
        numbered = sorted(self.files.sizes(f"claims/{key}"))
        return bool(numbered) and self._is_live(numbered[-1])

    def _take(self, key: str, held: list[str]) -> bool:
        numbered = sorted(self.files.sizes(f"claims/{key}"))
        if numbered and self._is_live(numbered[-1]):
            return False
        number = 1 + (int(numbered[-1][-11:-5]) if numbered else 0)
        name, text = f"claims/{key}/{number:06d}.json", self._text()
        if not self.files.create(name, text):
            return False
        try:
            if self.files.read(name) != text:
                return False
        except FileNotFoundError:
            return False
        held.extend([name, *numbered])
        return True

    def _read(self, key: str, held: list[str]) -> bool:
        """Say that a result is read, then look whether somebody is about to remove it."""
        name = f"readers/{key}/{uuid.uuid4().hex}.json"
        self.files.write(name, self._text())
        held.append(name)
        return not self.is_taken(key)

    def _is_live(self, name: str) -> bool:
        """Whether the owner of a lease is another machine and may still be at work.

        A lease that cannot be read may be one that is just being written; it gets a moment.
        """
        last = time.monotonic() + _WRITING
        while True:
            try:
                lease = json.loads(self.files.read(name))
                return lease["machine"] != self.machine and float(lease["ends"]) > time.time()
            except FileNotFoundError:
                return False
            except (ValueError, KeyError, TypeError):
                if time.monotonic() > last:
                    return False
                time.sleep(_WRITING / 20)

    def _text(self) -> bytes:
        lease = {"machine": self.machine, "ends": time.time() + self.seconds}
        return json.dumps({**lease, "lease": uuid.uuid4().hex}).encode()

    def _beat(self, held: list[str], ended: threading.Event) -> None:
        """Write own leases again until they are given back; one that is gone stays gone."""
        own = [name for name in held if name.startswith("readers/")] + held[:1]
        while not ended.wait(self.seconds / _PARTS):
            for name in own:
                with contextlib.suppress(SixtyfoldError):
                    if self.files.exists(name) and not ended.is_set():
                        self.files.write(name, self._text())
