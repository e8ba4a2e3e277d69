"""Files below an fsspec URL, asked again when an answer does not come.

Knows names and bytes; nothing of what they mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fsspec.core import url_to_fs

from sixtyfold.core.errors import BadInput, SixtyfoldError

PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds to wait before asking again; after the last one it is given up."""

_AT_ONCE = 256
_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
_OURS = (TypeError, ValueError, AttributeError, LookupError, NotImplementedError)
"""Errors of a call that is wrong, which no second one mends."""

_LOCAL = ("file", "local")

Answer = TypeVar("Answer")


class Unreachable(SixtyfoldError):
    """A store did not answer, several times in a row, or did not permit something."""


class RemoteFiles:
    """Reads and writes whole files by their names below a URL."""

    def __init__(self, url: str) -> None:
        """Find the file system of a URL; its settings are those of fsspec (`FSSPEC_S3_...`).

        Raises:
            BadInput: the protocol is not known, or its package is not installed.
        """
        self.url = url.rstrip("/")
        try:
            self.fs, root = url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise BadInput(
                f"the store {url} cannot be opened ({' '.join(str(error).split())}); "
                "s3:// needs the package s3fs, gs:// gcsfs"
            ) from None
        self.root = str(root).rstrip("/")

    def read(self, name: str) -> bytes:
        """Return the contents of a file; raises FileNotFoundError."""
        return self._asked(f"reading {name}", lambda: bytes(self.fs.cat_file(self._path(name))))

    def read_many(self, names: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of those files that are there."""
        found: dict[str, bytes] = {}
        for start in range(0, len(names), _AT_ONCE):
            some = {self._path(name): name for name in names[start : start + _AT_ONCE]}
            for path, value in self._cat(list(some)).items():
                name = some[path]
                if isinstance(value, bytes):
                    found[name] = value
                elif not isinstance(value, FileNotFoundError):
                    found[name] = self.read(name)
        return found

    def write(self, name: str, contents: bytes) -> None:
        """Write a file, over what is there."""
        self._written(name, lambda path: self.fs.pipe_file(path, contents))

    def create(self, name: str, contents: bytes) -> bool:
        """Write a file that is not there yet; False where somebody else wrote it first.

        What was asked again may have been done the first time: then it is there with our contents.
        """
        try:
            self._written(name, lambda path: self._create(path, contents))
        except FileExistsError:
            return self._holds(name, contents)
        return True

    def upload(self, path: Path, name: str) -> None:
        """Write the contents of a file of this machine."""
        self._written(name, lambda place: self.fs.put_file(str(path), place))

    def download(self, name: str, path: Path) -> None:
        """Write a file to this machine; raises FileNotFoundError."""
        self._asked(f"reading {name}", lambda: self.fs.get_file(self._path(name), str(path)))

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return bool(self._asked(f"asking for {name}", lambda: self.fs.exists(self._path(name))))

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size of every file below a folder, by name, in one listing."""

        def listed() -> dict[str, int]:
            self.fs.invalidate_cache()
            try:
                found = self.fs.find(self._path(folder), detail=True)
            except FileNotFoundError:
                return {}
            start = len(self.root) + 1
            return {str(path)[start:]: int(each["size"]) for path, each in found.items()}

        return self._asked(f"listing {folder}", listed)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are no matter."""
        for name in names:

            def gone(path: str = self._path(name)) -> None:
                try:
                    self.fs.rm_file(path)
                except FileNotFoundError:
                    return

            self._asked(f"removing {name}", gone)

    def _create(self, path: str, contents: bytes) -> None:
        protocols = (self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol
        if any(each in _LOCAL for each in protocols):  # its pipe_file looks first, then writes
            with self.fs.open(path, "xb") as handle:
                handle.write(contents)
        else:
            self.fs.pipe_file(path, contents, mode="create")

    def _holds(self, name: str, contents: bytes) -> bool:
        try:
            return self.read(name) == contents
        except FileNotFoundError:
            return False

    def _cat(self, paths: list[str]) -> dict[str, Any]:
        return self._asked(
            f"reading {len(paths)} files", lambda: dict(self.fs.cat(paths, on_error="return"))
        )

    def _written(self, name: str, write: Callable[[str], Any]) -> None:
        """Write, making the folder where the file system wants one."""
        path = self._path(name)

        def attempt() -> None:
            try:
                write(path)
            except FileNotFoundError:
                self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
                write(path)

        self._asked(f"writing {name}", attempt)

    def _asked(self, what: str, ask: Callable[[], Answer]) -> Answer:
        """Ask, and ask again after a pause.

        Raises:
            Unreachable: it failed every time, or is not permitted.
            FileNotFoundError, FileExistsError: these are answers.
        """
        for pause in (*PAUSES, None):
            try:
                return ask()
            except (*_ANSWERS, *_OURS):
                raise
            except Exception as error:  # noqa: BLE001 - packages have errors of their own
                if pause is None or isinstance(error, PermissionError):
                    times = 1 if isinstance(error, PermissionError) else len(PAUSES) + 1
                    reason = " ".join(str(error).split())[:200] or type(error).__name__
                    raise Unreachable(
                        f"the store {self.url} failed {times} times at {what} ({reason}); "
                        "what is recorded is kept, the same command continues"
                    ) from None
                time.sleep(pause)
        raise AssertionError

    def _path(self, name: str) -> str:
        return self.root if name == "." else f"{self.root}/{name}"
