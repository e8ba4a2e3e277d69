"""Kept rows stay byte for byte, in every file format."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.sources.records import read_records
from sixtyfold.workflows.check.cleaned_file import some_rows

JSONL = b'{"b": 1.50, "a": "x"}\n\n{"a":"\\u00e9",  "b":2}\n{"a": "last", "b": null}'
CSV = b'question,answer\n"a, ""b""\nsecond line",1\r\nplain,2\n\nlast,"3"'
LIST = b'[ {"a": 1.50},\n  {"a": "]"} , {"a": null} ]\n'


def cut(folder: Path, name: str, content: bytes, kept: list[bool]) -> bytes:
    path = folder / name
    path.write_bytes(content)
    return some_rows(path, read_records(path), kept)


@pytest.mark.parametrize(
    ("name", "content", "kept", "expected"),
    [
        ("t.jsonl", JSONL, [True, True, True], JSONL),
        ("t.json", JSONL, [False, True, True], JSONL[JSONL.index(b'{"a":"') :]),
        ("t.jsonl", JSONL, [True, False, False], b'{"b": 1.50, "a": "x"}\n\n'),
        ("t.jsonl", b"\xef\xbb\xbf" + JSONL, [False, False, True],
         b'\xef\xbb\xbf{"a": "last", "b": null}'),
        ("t.csv", CSV, [True, True, True], CSV),
        ("t.csv", CSV, [False, True, False], b"question,answer\nplain,2\n\n"),
        ("t.csv", CSV, [True, False, True],
         b'question,answer\n"a, ""b""\nsecond line",1\r\nlast,"3"'),
        ("t.csv", b'q,a\r"x\ry",1\rz,2\r', [False, True], b"q,a\rz,2\r"),
        ("t.json", LIST, [True, False, True], b'[\n{"a": 1.50},\n{"a": null}\n]\n'),
        ("t.json", LIST, [False, False, False], b"[\n\n]\n"),
    ],
)  # fmt: skip
def test_kept_rows_stay_as_they_were_written(
    name: str, content: bytes, kept: list[bool], expected: bytes, tmp_path: Path
) -> None:
    assert cut(tmp_path, name, content, kept) == expected


def test_parquet_keeps_schema_and_order(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame = pl.DataFrame(
        {"a": [3, 1, 2], "b": [["x"], [], None]},
        schema={"a": pl.Int16, "b": pl.List(pl.String)},
    )
    frame.write_parquet(path)
    (tmp_path / "c.parquet").write_bytes(some_rows(path, read_records(path), [True, False, True]))
    cleaned = pl.read_parquet(tmp_path / "c.parquet")
    assert cleaned.equals(frame[[0, 2]])
    assert cleaned.schema == frame.schema


_VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@given(st.lists(st.tuples(_VALUES, st.booleans()), min_size=1, max_size=8), st.booleans())
def test_what_is_read_again_is_what_was_kept(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, bool]], as_list: bool
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    records = [{"text": text, "n": str(at)} for at, (text, _) in enumerate(rows)]
    kept = [stays for _, stays in rows]
    whole = json.dumps(records) if as_list else "".join(f"{json.dumps(each)}\n" for each in records)
    content = cut(folder, "t.json", whole.encode(), kept)
    expected = [each for each, stays in zip(records, kept, strict=True) if stays]
    again = json.loads(content) if as_list else [json.loads(line) for line in content.splitlines()]
    assert again == expected
