"""Fingerprints of what a result depends on: file contents, never paths.

Hashes of large files are remembered in the cache by device, inode, size and modification time, so
that an unchanged checkpoint is read once and an overwritten one is noticed.
"""

from __future__ import annotations

import hashlib
import json
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
    memo = cache_directory() / "hashes"
    memo.mkdir(exist_ok=True)
    note = memo / f"{key}.json"
    if note.is_file():
        try:
            return str(json.loads(note.read_text())["sha256"])
        except (json.JSONDecodeError, KeyError):
            note.unlink(missing_ok=True)
    digest = _hash_file(path)
    partial = note.with_suffix(".partial")
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
