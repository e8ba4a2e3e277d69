"""From an address to a store: a directory, or an fsspec URL."""

from __future__ import annotations

from pathlib import Path

from sixtyfold.study.any_store import NoStore, Store
from sixtyfold.study.store import LocalStore

__all__ = ["NoStore", "open_store"]


def open_store(url: str, *, make: bool = True) -> Store:
    """Open a store.

    Args:
        url: a directory, or an fsspec URL such as s3://bucket/prefix or memory://name.
        make: make it where it is not there.

    Raises:
        NoStore: it is not there and is not to be made.
        BadInput: something else is there, it cannot be written, or the protocol's package is not
            installed.
    """
    if "://" not in url or url.startswith("file://"):
        return LocalStore(Path(url.removeprefix("file://")), make=make)
    from sixtyfold.study.remote_store import RemoteStore

    return RemoteStore(url, make=make)
