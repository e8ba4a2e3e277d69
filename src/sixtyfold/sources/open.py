"""One door to all fact sets: `open_facts` turns a reference into checked tables."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import check_facts, read_table
from sixtyfold.core.stage import finished
from sixtyfold.core.templates import check_templates
from sixtyfold.sources.atlas import build_atlas
from sixtyfold.sources.records import SUFFIXES
from sixtyfold.sources.table import read_facts_table

ALLOWED = (
    "'atlas', 'table:FILE' (csv, tsv, jsonl, parquet), the path of such a file, "
    "or a directory that 'sixtyfold facts build' or 'sixtyfold plant' finished"
)


class FactSet(NamedTuple):
    """Facts and templates with where they came from.

    `facts` follows `FACTS_SCHEMA`, `templates` `TEMPLATES_SCHEMA`; `fingerprint` is a hash of both;
    `notes` says what was guessed or changed on the way.
    """

    facts: pl.DataFrame
    templates: pl.DataFrame
    fingerprint: str
    name: str
    notes: tuple[str, ...] = ()


def open_facts(reference: str) -> FactSet:
    """Open a fact set.

    Args:
        reference: `atlas`, `table:FILE`, the path of a table, or a finished `facts` directory.

    Raises:
        BadInput: the reference is none of these, or the table does not hold facts.
        IncompleteInput: the directory holds no finished stage with facts.
        Corrupted: a table of the directory is not readable.
    """
    kind, _, rest = reference.partition(":")
    as_table = kind == "table" and bool(rest.strip())
    path = Path(rest if as_table else reference)
    if reference == "atlas":
        facts, templates = build_atlas()
        return _fact_set(facts, templates, "atlas", ())
    if reference.strip() and path.is_dir() and not as_table:
        return _stage_directory(path)
    # "tabel:x.csv" is a misspelt source, not a file of that name.
    if as_table or (path.suffix.lower() in SUFFIXES and (path.exists() or ":" not in reference)):
        facts, templates, notes = read_facts_table(path)
        return _fact_set(facts, templates, path.name, notes)
    hint = suggestion(kind, ["atlas", "table"])
    raise BadInput(f"facts '{reference}' were given; allowed are {ALLOWED}{hint}")


def _stage_directory(path: Path) -> FactSet:
    stage = finished(path)  # of facts, or of plant
    facts = check_facts(stage.table("facts"), str(path))
    templates = check_templates(read_table(path / "templates.parquet"), str(path))
    name = str(stage.manifest.get("source", path.name))
    return _fact_set(facts, templates, name, ())


def _fact_set(
    facts: pl.DataFrame, templates: pl.DataFrame, name: str, notes: tuple[str, ...]
) -> FactSet:
    return FactSet(facts, templates, fingerprint(facts, templates), name, notes)


def fingerprint(facts: pl.DataFrame, templates: pl.DataFrame) -> str:
    """Return a hash of the tables' content as 16 hex digits; file formats change nothing."""
    digest = hashlib.blake2b(digest_size=8)
    for frame in (facts, templates):
        digest.update(frame.write_ndjson().encode())
        digest.update(b"\x1e")
    return digest.hexdigest()
