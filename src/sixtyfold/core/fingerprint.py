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
import threading
from collections.abc import Iterable
from pathlib import Path

from sixtyfold.core.cache import cache_directory
from sixtyfold.core.threads import in_order

_MEMO_FROM_BYTES = 4 << 20


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex digits."""
    if path.stat().st_size < _MEMO_FROM_BYTES:
        return _hash_file(path)
    note = _note(path)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none, or a damaged one
        return str(json.loads(note.read_text())["sha256"])
    digest = _hash_file(path)
    if _note(path) == note:  # else it was overwritten meanwhile, and this is the hash of neither
        remember_sha256(path, digest)
    return digest


def remember_sha256(path: Path, digest: str) -> None:
    """Write down the SHA-256 of a file that was just written, so that it need not be read again."""
    with contextlib.suppress(OSError):
        note = _note(path)
        note.parent.mkdir(exist_ok=True)
        partial = note.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        partial.write_text(json.dumps({"sha256": digest}))
        partial.replace(note)


def _note(path: Path) -> Path:
    """Return where the hash of a file is written down."""
    stat = path.stat()
    key = f"{stat.st_dev}-{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"
    return cache_directory() / "hashes" / f"{key}.json"


def _hash_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def fingerprint_files(files: Iterable[Path]) -> str:
    """Return one 16-digit fingerprint of several files: their names and contents."""
    total = hashlib.sha256()
    ordered = sorted(files, key=lambda each: each.name)
    for path, digest in zip(ordered, in_order(file_sha256, ordered), strict=True):
        total.update(f"{path.name}\x1f{digest}\x1e".encode())
    return total.hexdigest()[:16]
