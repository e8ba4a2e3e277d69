"""Some rows of a file as a file of the same form: every kept row stays as it was written.

Text files are cut where their records begin and end, so that quotes, numbers and key order stay;
of Parquet files the schema stays.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

from sixtyfold.sources.json_text import decode_at, skip_space
from sixtyfold.sources.records import Record

_MARK = b"\xef\xbb\xbf"  # of UTF-8, which some programs write in front
_CSV_LINE = re.compile(rb"(?<=\n)|(?<=\r)(?!\n)")


def some_rows(path: Path, records: Sequence[Record], kept: Sequence[bool]) -> bytes:
    """Return the content of a file with only the kept records.

    Args:
        path: the file, as `read_records` read it.
        records: all its records.
        kept: one truth value per record.

    Raises:
        OSError: the file cannot be read any more.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path, kept)
    content = path.read_bytes()
    if suffix == ".json" and content.removeprefix(_MARK).lstrip().startswith(b"["):
        return _json_list(content, kept)
    lines = _CSV_LINE.split(content) if suffix in {".csv", ".tsv"} else content.splitlines(True)
    return _spans(lines, [_line(record) for record in records], kept)


def _line(record: Record) -> int:
    return int(record.place.removeprefix("line "))


def _spans(lines: Sequence[bytes], starts: Sequence[int], kept: Sequence[bool]) -> bytes:
    """Return the lines without those from a dropped record to the next one.

    Args:
        lines: with their ends.
        starts: number of the line each record begins on, from 1, increasing.
        kept: which records stay.
    """
    parts = [*lines[: starts[0] - 1]]
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    for start, end, stays in zip(starts, ends, kept, strict=True):
        if stays:
            parts += lines[start - 1 : end]
    mark = _MARK if lines[0].startswith(_MARK) else b""
    return mark + b"".join(parts).removeprefix(_MARK)


def _json_list(content: bytes, kept: Sequence[bool]) -> bytes:
    text = content.decode("utf-8-sig")
    at = skip_space(text, skip_space(text, 0) + 1)
    parts = []
    for stays in kept:
        _, end = decode_at(text, at, "the file", "mend the record")
        if stays:
            parts.append(text[at:end])
        at = skip_space(text, skip_space(text, end) + 1)
    return ("[\n" + ",\n".join(parts) + "\n]\n").encode()


def _parquet(path: Path, kept: Sequence[bool]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        table = file.read().filter(pa.array(list(kept)))
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()
