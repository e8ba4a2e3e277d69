"""Files of a stage that are there whole or not at all: written beside their place, then moved.

Knows nothing about what they hold.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.errors import Corrupted, IncompleteInput


def write_atomic(path: Path, write: Callable[[Path], Any]) -> None:
    """Call `write` on a temporary neighbour of `path`, then move it into place.

    The neighbour's name is this thread's own, so that several may write one file; it is removed
    where writing fails, and by `open_stage` where the process was killed.
    """
    temporary = partial_name(path)
    try:
        write(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def partial_name(path: Path) -> Path:
    """Return where this thread writes a file before it is moved to `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, keys sorted."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        IncompleteInput: there is no such file.
        Corrupted: it is not JSON.
    """
    if not path.is_file():
        raise IncompleteInput(f"there is no file {path}; run the stage that writes it")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Corrupted(f"{path} is not readable JSON ({error}); run the stage again") from None


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write a table atomically; equal frames give equal bytes.

    Raises:
        OSError: it cannot be written; what stood there before stays.
    """
    try:
        write_atomic(path, lambda temporary: frame.write_parquet(temporary, compression="zstd"))
    except pl.exceptions.ComputeError as error:  # what Polars makes of a full disk
        raise OSError(errno.EIO, " ".join(str(error).split()), str(path)) from None
