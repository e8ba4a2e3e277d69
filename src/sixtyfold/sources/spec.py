"""Options of `sixtyfold facts build`."""

from __future__ import annotations

from pydantic import Field

from sixtyfold.core.spec import StageSpec


class FactsBuildSpec(StageSpec):
    """Write a fact set, with its cloze templates, as a stage directory."""

    facts: str = "atlas"
    """The fact set: `atlas` (embedded), `table:FILE` (csv, tsv, jsonl, parquet), or a path."""

    limit: int | None = Field(default=None, ge=1)
    """Keep the first N facts of a seeded shuffle."""

    seed: int = 0
    """Seed of the shuffle."""
