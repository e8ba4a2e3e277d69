"""Facts by reference: the atlas, a user's table, or a directory that a stage finished."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import check_facts
from sixtyfold.core.stage import finished
from sixtyfold.core.templates import check_templates


class FactSet(NamedTuple):
    """Facts with the cloze templates of their relations.

    facts: rows of `FACTS_SCHEMA`. templates: rows of `TEMPLATES_SCHEMA`. fingerprint: hash of the
    contents. name: the reference as given. note: what was guessed, for people to read.
    """

    facts: pl.DataFrame
    templates: pl.DataFrame
    fingerprint: str
    name: str
    note: str = ""


def open_facts(reference: str) -> FactSet:
    """Open a fact set by its reference.

    Args:
        reference: `atlas`, `table:FILE` (or the bare file), or a directory that
            `sixtyfold facts build` or `sixtyfold plant` finished.

    Raises:
        BadInput: the reference is not known, or the table is not one.
        IncompleteInput: the directory is unfinished or holds no facts.
    """
    from sixtyfold.sources.table import SUFFIXES, read_user_table

    path = Path(reference.removeprefix("table:"))
    note = ""
    if reference == "atlas":
        from sixtyfold.sources.atlas import build_atlas

        facts, templates = build_atlas()
    elif reference.startswith("table:") or path.suffix in SUFFIXES:
        facts, templates, note = read_user_table(path)
    elif path.is_dir():
        stage = finished(path)
        facts = check_facts(stage.table("facts"), reference)
        templates = check_templates(stage.table("templates"), reference)
    else:
        raise BadInput(
            f"facts '{reference}' are not known; allowed: atlas, table:FILE, "
            "or a directory written by 'sixtyfold facts build'"
        )
    return FactSet(facts, templates, _fingerprint(facts, templates), reference, note)


def _fingerprint(*frames: pl.DataFrame) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        for row in frame.iter_rows():
            digest.update(repr(row).encode())
    return digest.hexdigest()[:16]
