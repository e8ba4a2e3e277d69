"""Where sixtyfold keeps what it fetched or converted.

One directory, `$SIXTYFOLD_CACHE` or `~/.cache/sixtyfold`. Entries are made in a temporary
neighbour and renamed, so an entry that exists is whole.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sixtyfold.core.errors import BadInput


def cache_directory() -> Path:
    """Return the cache directory, made if needed.

    Raises:
        BadInput: it cannot be made.
    """
    path = Path(os.environ.get("SIXTYFOLD_CACHE") or Path.home() / ".cache" / "sixtyfold")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"cannot make the cache directory {path} ({error.strerror}); "
            "set SIXTYFOLD_CACHE to a directory that can be written"
        ) from None
    return path


@contextlib.contextmanager
def new_entry(name: str) -> Iterator[Path]:
    """Yield a temporary directory that becomes the cache entry `name` when the block ends well.

    When another process made the same entry in the meantime, its entry stays.
    """
    cache = cache_directory()
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=cache))
    try:
        yield temporary
        with contextlib.suppress(FileExistsError, OSError):
            temporary.rename(cache / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
