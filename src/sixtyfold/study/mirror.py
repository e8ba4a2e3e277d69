"""What of a remote store lies on this machine: fetched once, compared with the record."""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from sixtyfold.core.errors import Corrupted
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.study.records import StoredFile, read_sha256
from sixtyfold.study.remote_files import RemoteFiles, Unreachable

_TRIES = 3
"""How often a file is stored or fetched that arrives otherwise than it was sent."""

_SMALL = 1 << 20
"""Files up to this many bytes are fetched many at a time."""


class ResultFile(NamedTuple):
    """A file of a result.

    file: its name below the stage directory.
    """

    stage: str
    key: str
    file: str

    @property
    def place(self) -> str:
        """Return where it lies on this machine."""
        return f"{result_folder(self.stage, self.key)}/{self.file}"

    def remote(self, stored: StoredFile) -> str:
        """Return where it lies in the store: other contents, another place."""
        return f"{result_folder(self.stage, self.key)}/{stored.sha256[:16]}/{self.file}"


def result_folder(stage: str, key: str) -> str:
    """Return the folder of a result, here and there."""
    return f"results/{stage}/{key}"


class Mirror:
    """Copies of the files of a store below a directory of this machine."""

    def __init__(self, files: RemoteFiles, local: Path) -> None:
        self.files = files
        self.local = local

    def store(self, file: ResultFile, stored: StoredFile) -> None:
        """Store a file of this machine and look whether all of it arrived.

        Raises:
            Unreachable: it did not, several times.
        """
        name = file.remote(stored)
        for _ in range(_TRIES):
            self.files.upload(self.local / file.place, name)
            size = self.files.sizes(name).get(name)
            if size == stored.size:
                return
        raise Unreachable(
            f"{self.files.url}/{name} has {size} bytes where {stored.size} were sent, "
            f"{_TRIES} times; the same command tries again"
        )

    def fetch(self, wanted: Mapping[ResultFile, StoredFile]) -> None:
        """Make sure that files lie on this machine as they were recorded.

        Raises:
            Corrupted: one is missing in the store, or of another size or other contents.
        """
        missing = {file: each for file, each in wanted.items() if not self._has(file, each)}
        small = {
            file.remote(each): (file, each) for file, each in missing.items() if each.size <= _SMALL
        }
        for name, contents in self.files.read_many(list(small)).items():
            file, stored = small[name]
            if hashlib.sha256(contents).hexdigest() == stored.sha256:
                put_bytes(self.local / file.place, contents)
                del missing[file]
        for file, stored in missing.items():
            self._fetch(file, stored)

    def verify(self, wanted: Mapping[ResultFile, StoredFile]) -> None:
        """Read files in the store and compare their hashes, whatever lies on this machine.

        Raises:
            Corrupted: one is missing in the store, or does not hold what was written.
        """
        with tempfile.TemporaryDirectory(dir=self.local) as folder:
            for file, stored in wanted.items():
                name, path = file.remote(stored), Path(folder) / "file"
                try:
                    self.files.download(name, path)
                except FileNotFoundError:
                    raise Corrupted(f"{self.files.url}/{name} is missing") from None
                if read_sha256(path) != stored.sha256:
                    raise Corrupted(f"{self.files.url}/{name} does not hold what was written")

    def _has(self, file: ResultFile, stored: StoredFile) -> bool:
        path = self.local / file.place
        if not path.is_file() or path.stat().st_size != stored.size:
            return False
        return file_sha256(path) == stored.sha256

    def _fetch(self, file: ResultFile, stored: StoredFile) -> None:
        name = file.remote(stored)
        for _ in range(_TRIES):
            try:
                put(self.local / file.place, lambda path: self.files.download(name, path))
            except FileNotFoundError:
                raise Corrupted(f"{self.files.url}/{name} is missing") from None
            if self._has(file, stored):
                return
        path = self.local / file.place
        size = path.stat().st_size
        path.unlink()
        if size != stored.size:
            raise Corrupted(
                f"{self.files.url}/{name} has {size} bytes where {stored.size} were written"
            )
        raise Corrupted(f"{self.files.url}/{name} does not hold what was written")


def put(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that it is there whole or not at all, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def put_bytes(path: Path, contents: bytes) -> None:
    """Write contents as `put` does."""
    put(path, lambda partial: partial.write_bytes(contents))
