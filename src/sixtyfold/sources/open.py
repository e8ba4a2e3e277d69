"""Facts by reference: the atlas, a user's table, or a directory that a stage finished."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import check_facts
from sixtyfold.core.stage import finished


class FactSet(NamedTuple):
    """Facts with the templates of their relations."""

    facts: pl.DataFrame
    templates: pl.DataFrame
    fingerprint: str
    name: str


def open_facts(reference: str) -> FactSet:
    """Open a fact set by name."""
    path = Path(reference)
    if reference == "atlas":
        from sixtyfold.sources.atlas import build_atlas

        facts, templates = build_atlas()
    elif path.is_dir():
        stage = finished(path)
        facts, templates = check_facts(stage.table("facts"), reference), stage.table("templates")
    else:
        raise BadInput(f"facts '{reference}' are not known; allowed: atlas, table:FILE or a directory")
    digest = hashlib.sha256()
    for frame in (facts, templates):
        digest.update(repr(frame.rows()).encode())
    return FactSet(facts, templates, digest.hexdigest()[:16], reference)
