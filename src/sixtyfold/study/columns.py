"""The columns of numbers and of cells: what the results of every study have in common."""

from __future__ import annotations

import polars as pl

SCHEMA = pl.Schema(
    {
        "measure": pl.String(),
        "value": pl.Float64(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "n": pl.Int64(),
        "domain": pl.String(),
        "split": pl.String(),
        "part": pl.String(),
    }
)
"""One row per number of a result; the columns are told by `numbers.Number`."""

CELLS_SCHEMA = pl.Schema(
    {
        "study": pl.String(),
        "grid": pl.String(),
        "model": pl.String(),
        "seed": pl.Int64(),
        "size": pl.String(),
        "levels": pl.String(),
        "learning_rate": pl.Float64(),
        "chosen": pl.Boolean(),
        "options": pl.String(),
        "role": pl.String(),
        "stage": pl.String(),
        "key": pl.String(),
    }
)
"""One row per cell and role: what a job's numbers are labelled by. `options` holds the settings
that have no column of their own, as JSON."""
