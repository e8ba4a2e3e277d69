"""Files into records: every format, every place in a message, and what is refused."""

import gzip
import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.sources.records import LONGEST_LINE, read_records

ROW = '{"question": "a?", "answer": "b"}'


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("t.csv", "question,answer\na?,b\n")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("t.csv", "q,a\nx,y\n\nz,w\n", ["line 2", "line 4"]),
        ("t.csv", 'q,a\r\n"x\r\ny",1\r\nz,2', ["line 2", "line 4"]),
        ("t.csv", "q,a\rx,y\rz,w\r", ["line 2", "line 3"]),
        ("t.tsv", 'q\ta\nx\t"y ""z"""\n', ["line 2"]),
        ("t.jsonl", '\ufeff{"q": 1}\n \n{"q": 2}\r\n', ["line 1", "line 3"]),
        ("t.json", '\ufeff [{"q": 1} ,\n\n {"q": 2}]\n', ["record 1", "record 2"]),
        ("t.json", '\n{"q": 1}\n{"q": 2}', ["line 2", "line 3"]),
    ],
)
def test_every_record_knows_its_place(
    tmp_path: Path, name: str, content: str, places: list[str]
) -> None:
    assert [record.place for record in read_records(write(tmp_path / name, content))] == places


def test_quotes_and_line_ends_stay_in_their_field(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'q,a\n"x\ry\nz","1 ""2"""\n')
    assert [record.values for record in read_records(path)] == [{"q": "x\ry\nz", "a": '1 "2"'}]


def test_numbers_of_json_stay_as_written(tmp_path: Path) -> None:
    digits = "9" * 5000
    path = write(tmp_path / "t.jsonl", f'{{"a": 1.50, "b": {digits}, "c": 1e400, "d": -0}}')
    assert read_records(path)[0].values == {"a": "1.50", "b": digits, "c": "1e400", "d": "-0"}


def test_a_parquet_file_with_brackets_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "t[1].parquet"
    pl.DataFrame({"q": ["x"], "a": [["y", "z"]]}).write_parquet(path)
    records = read_records(path)
    assert (records[0].place, records[0].values) == ("row 1", {"q": "x", "a": ["y", "z"]})


REFUSED: list[tuple[str, str | bytes, str]] = [
    ("t.csv", "", "is empty; at least one fact"),
    ("t.json", "[]", "holds no rows; at least one fact"),
    ("t.csv", "question,answer\n", "holds no rows; at least one fact"),
    ("t.jsonl", "\n \n", "holds no rows; at least one fact"),
    ("t.txt", "question,answer\na?,b\n", r"ends in '.txt'; give a file ending in .csv, .tsv"),
    ("t", "question,answer\na?,b\n", "ends in ''; give a file ending in .csv"),
    ("t.zip", zipped(), r"is a zip archive; unpack it \(give a file ending in .csv"),
    ("t.csv", zipped(), "is a zip archive; unpack it"),
    ("t.parquet", zipped(), "is a zip archive; unpack it"),
    ("t.csv", b"PK\x05\x06" + bytes(18), "is an empty zip archive; unpack it"),
    (
        "t.csv.gz",
        gzip.compress(b"question,answer\n", mtime=0),
        "is compressed with gzip; unpack it",
    ),
    ("t.jsonl", gzip.compress(ROW.encode(), mtime=0), "is compressed with gzip; unpack it"),
    ("t.csv", "question,answer\na?,b\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", "'git lfs pull'"),
    ("t.csv", b"PAR1" + bytes(50), "is a Parquet table; let its name end in .parquet"),
    ("t.csv", "q,a\nx,y\n".encode("utf-16-le"), "line 1: holds a NUL .* save it as UTF-8"),
    ("t.csv", "q,a\nx,y\0\n", "line 2: holds a NUL"),
    ("t.json", '[{"q":\n "x\0"}]', "line 2: holds a NUL"),
    ("t.csv", b"q,a\nx,caf\xe9\n", r"line 2: not UTF-8 \(byte 0xe9\); save the file as UTF-8"),
    ("t.json", b'[{"q":\n\n "caf\xe9"}]', r"line 3: not UTF-8 \(byte 0xe9\)"),
    ("t.csv", "q,a\nx,y,z\n", "line 2: 3 fields where the header has 2; quote fields"),
    ("t.csv", "q,a\nx\n", "line 2: 1 fields where the header has 2"),
    ("t.csv", 'q,a\nx,"y\nz,w\n', "line 2: a quote is opened and never closed; mend"),
    ("t.csv", 'q,a\n"x" y,z\n', "line 2: text goes on behind a closing quote; double"),
    ("t.csv", f"q,a\nx,{'y' * 131_073}\n", "line 2: a field is longer than 131,072 characters"),
    ("t.csv", "q,a,q\nx,y,z\n", "the header names 'q' twice; rename one"),
    ("t.csv", "q;a\nx;y\n", "header is one column, 'q;a'; in a .csv file commas stand between"),
    ("t.tsv", "q,a\nx,y\n", "header is one column, 'q,a'; in a .tsv file tabs stand between"),
    ("t.jsonl", f"{ROW}\n[{ROW}]\n", r"line 2: a JSON object .* found a list .*a .json file"),
    ("t.jsonl", ROW[:-1], r"line 1: not JSON \(Expecting ',' delimiter, character 33\)"),
    ("t.jsonl", f"{ROW}{ROW}", r"line 1: text goes on behind the value \(character 34\)"),
    ("t.jsonl", '{"a": 1, "b": {"c": 1, "c": 2}}', "line 1: the key 'c' stands twice"),
    ("t.jsonl", '{"a": NaN}', "line 1: NaN is no JSON value; write null"),
    ("t.jsonl", '{"a": [-Infinity]}', "line 1: -Infinity is no JSON value"),
    ("t.jsonl", '{"a": ' + "[" * 100_000, "line 1: not JSON of a record .nested too deeply"),
    ("t.jsonl", '{"a": "x\ty"}', r"line 1: not JSON \(Invalid control character at"),
    ("t.jsonl", "\ufeff\ufeff" + ROW, "line 1: not JSON"),
    ("t.json", "[" * 100_000, "record 1: not JSON of a record .nested too deeply"),
    ("t.json", f"[{ROW}, 7]", "record 2: a JSON object is needed, found a str"),
    ("t.json", f"[{ROW}, {ROW[:-1]}]", r"record 2: not JSON \(.*, character 33\); mend"),
    ("t.json", f"[{ROW} {ROW}]", "record 1: neither ',' nor ']' stands behind it"),
    ("t.json", f"[{ROW}", "record 1: neither ',' nor ']' stands behind it"),
    ("t.json", f"[{ROW},]", "record 2: not JSON"),
    ("t.json", f"[{ROW}] {ROW}", "text goes on behind the list of records"),
    ("t.json", '[{"a": 1, "a": 2}]', "record 1: the key 'a' stands twice"),
    ("t.json", '[{"a": NaN}]', "record 1: NaN is no JSON value"),
    ("t.json", '"text"', "needed is a JSON list of records, or one record a line"),
    ("t.json", '{\n"data": []}', "line 1: not JSON .*one JSON object a line is needed"),
]


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_what_is_refused_and_where(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(BadInput, match=message) as refused:
        read_records(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.csv does not exist; give a file ending in"):
        read_records(tmp_path / "none.csv")
    with pytest.raises(BadInput, match="does not exist"):
        read_records(write(tmp_path / "t.csv", ROW) / "deeper.csv")
    with pytest.raises(BadInput, match="does not exist"):
        read_records(Path("nul\0.csv"))
    with pytest.raises(BadInput, match=r"cannot be read \(File name too long\)"):
        read_records(tmp_path / ("n" * 300 + ".csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadInput, match=r"folder\.csv is a directory; give a file"):
        read_records(tmp_path / "folder.csv")
    with pytest.raises(BadInput, match="/dev/null is no regular file; give a file"):
        read_records(Path("/dev/null"))


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.csv", "q,a\nx,y\n")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(BadInput, match=r"t\.csv cannot be read \(Permission denied\)"):
        read_records(path)


@pytest.mark.parametrize(
    ("name", "start", "message"),
    [
        ("t.jsonl", b'{"question": "', "line 1: longer than 10,000,000 bytes; one record a line"),
        ("t.csv", b'question,answer\n"', "line 2: longer than 10,000,000 bytes"),
        ("t.json", b'[{"question": "', "record 1: "),
    ],
)
def test_a_hundred_megabytes_in_a_line_are_refused_fast(
    tmp_path: Path, name: str, start: bytes, message: str
) -> None:
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.write(start)
        for _ in range(10):
            stream.write(b"a" * LONGEST_LINE)
        stream.write(b'"}]')
    tracemalloc.start()
    try:
        with pytest.raises(BadInput, match=message):
            read_records(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 450_000_000


def test_an_array_too_large_to_hold_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    with path.open("wb") as stream:
        stream.write(b"[")
        stream.truncate(1_000_000_001)  # a hole: takes no room on the disk
    with pytest.raises(BadInput, match=r"1,000,000,001 bytes in one JSON list; write one record"):
        read_records(path)


def test_damaged_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(Corrupted, match=r"is not a readable Parquet table .*make it again"):
        read_records(write(path, b"no parquet at all"))
    pl.DataFrame({"q": ["x"] * 50, "a": ["y"] * 50}).write_parquet(path)
    with pytest.raises(Corrupted, match="is not a readable Parquet table") as refused:
        read_records(write(path, path.read_bytes()[:-20]))
    assert "\n" not in str(refused.value)


def test_parquet_with_a_doubled_column_or_text_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    twice = pa.table([pa.array(["x"]), pa.array(["y"])], names=["q", "q"])
    pq.write_table(twice, path)
    with pytest.raises(BadInput, match="the column 'q' stands twice; rename one"):
        read_records(path)
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xe9")]
    )
    pq.write_table(pa.table({"q": broken}), path)
    with pytest.raises(Corrupted, match="is not a readable Parquet table"):
        read_records(path)


def test_the_same_records_in_every_json_form(tmp_path: Path) -> None:
    records = [{"question": f"{n}?", "answers": [str(n), "ü"]} for n in range(20)]
    written = {
        "a.json": json.dumps(records),
        "b.json": json.dumps(records, indent=3, ensure_ascii=False),
        "c.json": "\n".join(map(json.dumps, records)),
        "d.jsonl": "\r\n".join(map(json.dumps, records)),
    }
    for name, content in written.items():
        found = read_records(write(tmp_path / name, content))
        assert [record.values for record in found] == records
