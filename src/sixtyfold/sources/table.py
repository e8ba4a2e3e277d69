"""A user's own facts: csv, tsv, jsonl or parquet with at least a question and an answer.

Columns are guessed from usual names and the guess is told, or named with `--columns`.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sixtyfold.sources.columns import choose_columns, describe_columns
from sixtyfold.sources.fields import read_fields
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.records import read_records
from sixtyfold.sources.rows import ROWS_SCHEMA, SourceRows


def read_table_rows(rest: str, options: ReadOptions) -> SourceRows:
    """Read facts from a table.

    Args:
        rest: path of a csv, tsv, jsonl or parquet file. Needed are a question and one or more
            answers (a list, or text with '|' between answers); aliases, subject, relation, split,
            domain, popularity and flags are read where they are.
        options: `columns` names columns.

    Raises:
        BadInput: the file, a column or a row is not what it should be; the message names the line.
        Corrupted: a Parquet file is not readable.
    """
    path = Path(rest)
    records = read_records(path)
    names = dict.fromkeys(name for each in records for name in each.values)
    columns = choose_columns(names, path, options.columns)
    rows = [
        read_fields(
            {field: record.values.get(column) for field, column in columns.items()},
            f"{path}, line {record.line}",
        )
        for record in records
    ]
    return SourceRows(
        pl.DataFrame(rows, schema=ROWS_SCHEMA), {}, (describe_columns(columns, options.columns),)
    )
