"""Reading a user's table into plain records, with the place in the file each of them came from.

Knows file formats; does not know what a fact is. Nothing is mended on the way: what cannot be read
for certain is refused with its place, so that no row is lost or changed in silence. Text is read
line by line with a longest line, so that a file of another format is refused before it is in
memory.
"""

from __future__ import annotations

import csv
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.sources.json_text import SPACE, decode, decode_at, skip_space

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
#: A longer line, in bytes, is no record of a fact; most likely the file has another format.
LONGEST_LINE = 10_000_000
#: JSON arrays are read whole.
LARGEST_ARRAY = 1_000_000_000
#: How files of other formats begin, and what to do about them.
_OTHER_FORMATS = {
    b"PK\x03\x04": "is a zip archive; unpack it",
    b"PK\x05\x06": "is an empty zip archive; unpack it",
    b"\x1f\x8b": "is compressed with gzip; unpack it",
    b"BZh91AY&SY": "is compressed with bzip2; unpack it",
    b"\xfd7zXZ\x00": "is compressed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it",
    b"\xff\xfe": "is UTF-16; save it as UTF-8",
    b"\xfe\xff": "is UTF-16; save it as UTF-8",
    b"version https://git-lfs": "is a Git LFS pointer; fetch the file itself with 'git lfs pull'",
}
_PARQUET = b"PAR1"
_CSV_REASONS = {
    "unexpected end of data": "a quote is opened and never closed",
    "field larger than field limit": "a field is longer than {limit:,} characters; a quote that is "
    "never closed does that",
    "expected after": "text goes on behind a closing quote; double the quotes inside a field",
}


class Record(NamedTuple):
    """One row: its place in the file (`line 3`, `record 3`, `row 3`) and its values by column."""

    place: str
    values: dict[str, Any]


def read_records(path: Path) -> list[Record]:
    """Read all rows of a csv, tsv, jsonl, json or parquet file.

    Args:
        path: the file. `.json` holds a list of objects, or one object a line. Numbers of JSON
            are returned as text, exactly as they are written.

    Raises:
        BadInput: there is no such file, its suffix is none of these, it is packed, empty or not
            UTF-8, or a row is malformed (the message names the line, record or row).
        Corrupted: a Parquet file is not readable.
    """
    suffix = path.suffix.lower()
    try:
        start = _start(path)
        if suffix == ".parquet":
            records = list(_parquet(path))
        elif start.startswith(_PARQUET):
            raise BadInput(f"{path} is a Parquet table; let its name end in .parquet")
        elif suffix in {".csv", ".tsv"}:
            records = list(_delimited(path, "\t" if suffix == ".tsv" else ","))
        elif suffix == ".json" and not start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(
            b"{"
        ):
            records = list(_json_array(path))
        else:
            records = list(_json_lines(path))
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from None
    if not records:
        raise BadInput(f"{path} holds no rows; at least one fact is needed")
    return records


def _start(path: Path) -> bytes:
    """Return how the file begins.

    Raises:
        BadInput: it is no file of a table, by its name, its kind or its first bytes.
    """
    wanted = f"give a file ending in {', '.join(SUFFIXES)}"
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise BadInput(f"{path} does not exist; {wanted}") from None
    if stat.S_ISDIR(mode):
        raise BadInput(f"{path} is a directory; {wanted}")
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path} is no regular file; {wanted}")
    with path.open("rb") as stream:
        start = stream.read(4096)
    for magic, what in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise BadInput(f"{path} {what} ({wanted})")
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path} ends in '{path.suffix}'; {wanted}")
    if not start:
        raise BadInput(f"{path} is empty; at least one fact is needed")
    return start


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of every line, its end included.

    Raises:
        BadInput: a line is not UTF-8, holds a NUL character or is too long.
    """
    with path.open("rb") as stream:
        number = 0
        while content := stream.readline(LONGEST_LINE + 1):
            number += 1
            if len(content) > LONGEST_LINE:
                raise BadInput(
                    f"{path}, line {number}: longer than {LONGEST_LINE:,} bytes; "
                    "one record a line is needed"
                )
            yield number, _decoded(content, path, number)


def _decoded(content: bytes, path: Path, line: int) -> str:
    """Return bytes that begin at a line of the file as text."""
    try:
        text = content.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        found = f"byte 0x{error.object[error.start]:02x}"
        raise BadInput(
            f"{path}, line {line}: not UTF-8 ({found}); save the file as UTF-8"
        ) from None
    if "\0" in text:
        line += text.count("\n", 0, text.index("\0"))
        raise BadInput(
            f"{path}, line {line}: holds a NUL character; this is no text table, or one in "
            "UTF-16: save it as UTF-8"
        )
    return text


def _delimited(path: Path, delimiter: str) -> Iterator[Record]:
    # A line end inside a quoted field may be a lone \r, which ends a line for the csv module.
    pieces = (
        piece for _, line in _lines(path) for piece in re.split(r"(?<=\r)(?!\n)", line) if piece
    )
    reader = csv.reader(pieces, delimiter=delimiter, strict=True)
    header: list[str] = []
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise BadInput(f"{path}, {place}: {_csv_reason(error)}; mend the line") from None
        if row is None:
            return
        if not row:
            continue
        if not header:
            header = [name.strip() for name in row]
            _check_header(path, header, delimiter)
            continue
        if len(row) != len(header):
            raise BadInput(
                f"{path}, {place}: {len(row)} fields where the header has {len(header)}; "
                "quote fields that hold the delimiter"
            )
        yield Record(place, dict(zip(header, row, strict=True)))


def _csv_reason(error: csv.Error) -> str:
    for given, reason in _CSV_REASONS.items():
        if given in str(error):
            return reason.format(limit=csv.field_size_limit())
    return str(error)


def _check_header(path: Path, header: list[str], delimiter: str) -> None:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise BadInput(
            f"{path}: the header names {twice[0][:80]!r} twice; rename one of the columns"
        )
    others = [each for each in ",;\t|" if each != delimiter and each in header[0]]
    if len(header) == 1 and others:
        raise BadInput(
            f"{path}: the header is one column, {header[0][:80]!r}; in a {path.suffix} file "
            f"{'tabs' if delimiter == chr(9) else 'commas'} stand between columns"
        )


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in _lines(path):
        if line.strip(SPACE):
            place = f"line {number}"
            values = decode(line, f"{path}, {place}", "one JSON object a line is needed")
            yield _record(values, path, place)


def _json_array(path: Path) -> Iterator[Record]:
    """Yield the objects of a JSON list, parsed one by one so that an error names its record."""
    size = path.stat().st_size
    if size > LARGEST_ARRAY:
        raise BadInput(f"{path}: {size:,} bytes in one JSON list; write one record a line (.jsonl)")
    text = _decoded(path.read_bytes(), path, 1)
    at = skip_space(text, 0)
    if not text.startswith("[", at):
        raise BadInput(f"{path}: needed is a JSON list of records, or one record a line")
    at = skip_space(text, at + 1)
    number = 0
    closed = text.startswith("]", at)
    if closed:
        at += 1
    while not closed:
        number += 1
        place = f"record {number}"
        values, end = decode_at(text, at, f"{path}, {place}", "mend the record")
        if end - at > LONGEST_LINE:
            raise BadInput(f"{path}, {place}: {end - at:,} characters; this is no fact")
        yield _record(values, path, place)
        at = skip_space(text, end)
        closed = text.startswith("]", at)
        if not closed and not text.startswith(",", at):
            raise BadInput(f"{path}, {place}: neither ',' nor ']' stands behind it; mend the file")
        at = skip_space(text, at + 1)
    if skip_space(text, at) < len(text):
        raise BadInput(f"{path}: text goes on behind the list of records; mend the file")


def _record(values: Any, path: Path, place: str) -> Record:
    if isinstance(values, dict):
        return Record(place, values)
    kind = type(values).__name__
    hint = " (a list of records belongs in a .json file)" if kind == "list" else ""
    raise BadInput(f"{path}, {place}: a JSON object is needed, found a {kind}{hint}; mend it")


def _parquet(path: Path) -> Iterator[Record]:
    """Yield the rows of a Parquet file.

    pyarrow, because polars ends the process in a panic on some damaged files.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as table:
            twice = [
                name
                for name in table.schema_arrow.names
                if table.schema_arrow.names.count(name) > 1
            ]
            if twice:
                raise BadInput(f"{path}: the column {twice[0][:80]!r} stands twice; rename one")
            for batch in table.iter_batches(batch_size=4096):
                for values in batch.to_pylist():
                    number += 1
                    yield Record(f"row {number}", values)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        reason = "".join(char for char in first if char.isprintable())[:300]
        raise Corrupted(
            f"{path} is not a readable Parquet table ({reason}); make it again"
        ) from None
