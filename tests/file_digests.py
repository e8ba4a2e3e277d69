"""Hashes of everything a run wrote, to compare runs byte by byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

_CHANGING = {"timings.json", ".lock"}


def digests(root: Path) -> dict[str, str]:
    """Return the hash of every file of a run except its timings."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in _CHANGING
    }
