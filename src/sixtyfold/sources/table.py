"""A user's own facts: csv, tsv, jsonl or parquet with at least a question and an answer."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sixtyfold.core.errors import BadInput

SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})


def read_facts_table(path: Path) -> tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """Return facts, templates and notes of a table (being written)."""
    raise BadInput(f"{path}: reading tables is not finished")
