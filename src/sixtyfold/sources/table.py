"""A user's own facts: csv, tsv, jsonl, json or parquet with at least a question and an answer.

Columns are guessed from usual names and the guess is told, or named with `--columns`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise
from sixtyfold.sources.columns import choose_columns, describe_columns
from sixtyfold.sources.fields import read_fields
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.records import Record, read_records
from sixtyfold.sources.rows import ROWS_SCHEMA, SourceRows

#: Columns that number a user's rows; they are checked and otherwise not used.
_ID_NAMES = ("fact_id", "id")


def read_table_rows(rest: str, options: ReadOptions) -> SourceRows:
    """Read facts from a table.

    Args:
        rest: path of a csv, tsv, jsonl, json or parquet file. Needed are a question and one or
            more answers (see `words` for the shapes); aliases, subject, relation, split, domain,
            popularity and flags are read where they are.
        options: `columns` names columns.

    Raises:
        BadInput: the file, a column or a row is not what it should be, or an id stands at two
            questions; the message names the line.
        Corrupted: a Parquet file is not readable.
    """
    path = Path(rest)
    records = read_records(path)
    names = dict.fromkeys(name for each in records for name in each.values)
    columns = choose_columns(names, path, options.columns)
    rows = [
        read_fields(
            {field: record.values.get(column) for field, column in columns.items()},
            f"{path}, {record.place}",
        )
        for record in records
    ]
    for name in names:
        if name.strip().casefold() in _ID_NAMES and name not in columns.values():
            _check_ids(path, name, records, [row["question"] for row in rows])
    return SourceRows(
        pl.DataFrame(rows, schema=ROWS_SCHEMA), {}, (describe_columns(columns, options.columns),)
    )


def _check_ids(path: Path, name: str, records: Sequence[Record], questions: Sequence[str]) -> None:
    """Refuse an id that stands at two different questions."""
    seen: dict[str, int] = {}
    for index, record in enumerate(records):
        value = record.values.get(name)
        if value is None or not str(value).strip():
            continue
        first = seen.setdefault(str(value).strip(), index)
        if normalise(questions[first]) != normalise(questions[index]):
            raise BadInput(
                f"{path}, {record.place}: {name} {str(value).strip()[:80]!r} stands also in "
                f"{records[first].place} with another question; give each its own, or rename the "
                "column"
            )
