"""Fingerprints of what a result depends on: file contents, never paths.

Hashes of large files are remembered in the cache by device, inode, size and modification time, so
that an unchanged checkpoint is read once and an overwritten one is noticed. Where they cannot be
written down, files are read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from sixtyfold.core.cache import cache_directory

_MEMO_FROM_BYTES = 4 << 20


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    stat = path.stat()
    if stat.st_size < _MEMO_FROM_BYTES:
        return _hash_file(path)
    key = f"{stat.st_dev}-{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"
    note = cache_directory() / "hashes" / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none, or a damaged one
        return str(json.loads(note.read_text())["sha256"])
    digest = _hash_file(path)
    with contextlib.suppress(OSError):
        note.parent.mkdir(exist_ok=True)
        partial = note.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({"sha256": digest}))
        partial.replace(note)
    return digest


def _hash_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint_files(files: Iterable[Path]) -> str:
    """Return one 16-digit fingerprint of several files: their names and contents."""
    total = hashlib.sha256()
    for path in sorted(files, key=lambda each: each.name):
        total.update(f"{path.name}\x1f{file_sha256(path)}\x1e".encode())
    return total.hexdigest()[:16]
