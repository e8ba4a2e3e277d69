"""Reading a user's table into plain records, with the line each of them came from.

Knows file formats; does not know what a fact is.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import read_table

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
#: A longer line is no record of a fact; most likely the file has another format.
LONGEST_LINE = 10_000_000


class Record(NamedTuple):
    """One row: its line in the file (its row for Parquet) and its values by column."""

    line: int
    values: dict[str, Any]


def read_records(path: Path) -> list[Record]:
    """Read all rows of a csv, tsv, jsonl or parquet file.

    Raises:
        BadInput: there is no such file, its suffix is none of these, it is empty or not UTF-8, or
            a row is malformed (the message names the line).
        Corrupted: a Parquet file is not readable.
    """
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise BadInput(f"table {path} {what}; give a file ending in {', '.join(SUFFIXES)}")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(f"table {path} ends in '{suffix}'; allowed are {', '.join(SUFFIXES)}")
    if suffix == ".parquet":
        rows = read_table(path).iter_rows(named=True)
        records = [Record(number, row) for number, row in enumerate(rows, start=1)]
    elif suffix in {".csv", ".tsv"}:
        records = list(_delimited(path, "\t" if suffix == ".tsv" else ","))
    else:
        records = list(_json_lines(path))
    if not records:
        raise BadInput(f"table {path} holds no rows; at least one fact is needed")
    return records


def _text(path: Path) -> str:
    """Return the file's text.

    Raises:
        BadInput: it cannot be read, or is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"table {path} cannot be read ({error.strerror})") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); convert the file"
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(f"{path}, line {line}: holds a NUL character; this is no text table")
    return text


def _delimited(path: Path, delimiter: str) -> Iterator[Record]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    try:
        for row in reader:
            if not row:
                continue
            if not header:
                header = [name.strip() for name in row]
                _check_header(path, header)
                continue
            if len(row) != len(header):
                raise BadInput(
                    f"{path}, line {reader.line_num}: {len(row)} fields where the header has "
                    f"{len(header)}; quote fields that hold the delimiter"
                )
            yield Record(reader.line_num, dict(zip(header, row, strict=True)))
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num}: {error}; mend or drop the line") from None


def _check_header(path: Path, header: list[str]) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadInput(f"{path}: the header names {twice[0]!r} twice; rename one of the columns")


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        if len(line) > LONGEST_LINE:
            raise BadInput(f"{where}: {len(line):,} characters; one record a line is needed")
        try:
            values = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadInput(f"{where}: not JSON ({error}); mend or drop the line") from None
        except ValueError as error:
            raise BadInput(f"{where}: not JSON ({error}); mend or drop the line") from None
        if not isinstance(values, dict):
            kind = type(values).__name__
            raise BadInput(f"{where}: a JSON object is needed, found a {kind}; mend the line")
        yield Record(number, values)
