"""Small files of every kind with one seeded fault each, and what must hold when they are opened.

Either `open_facts` refuses a file in one line that names it, or its facts account for every row
that a count of the file, made here without any code of the package, finds.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.sources.open import open_facts

KINDS = (
    *("table.csv", "table.tsv", "table.jsonl", "table.json", "table.parquet"),
    *("popqa.tsv", "popqa.json", "entityquestions"),
)
_PLACES = ("France", "São Tomé", "Łódź", "Côte d'Ivoire", 'The "Rock"', "Guinea, Bissau", "東京")
Record = dict[str, Any]


class Case(NamedTuple):
    """A file with a fault: what to open, where it lies, its kind and the fault's name."""

    reference: str
    path: Path
    kind: str
    fault: str


class Outcome(NamedTuple):
    """What opening a case did: `refused`, `read` or `read, not countable`, and the reason."""

    what: str
    reason: str


def write_case(seed: int, folder: Path) -> Case:
    """Write the case of a seed into an empty folder."""
    chance = random.Random(seed)  # noqa: S311 - faults, not secrets
    kind = KINDS[seed % len(KINDS)]
    make = {"table": _table_record, "popqa": _popqa_record, "entityquestions": _question_record}
    maker = make[kind.partition(".")[0]]
    records = [maker(chance) for _ in range(chance.randint(1, 7))]
    fault = "none" if chance.random() < 0.05 else chance.choice([*_IN_RECORDS, *_IN_BYTES])
    if fault in _IN_RECORDS:
        records = _IN_RECORDS[fault](records, chance)
    if kind == "entityquestions":
        path, reference = folder / "eq", f"entityquestions:{folder / 'eq'}"
        damaged = path / "train" / "P36.train.json"
        for name in ("train/P36.train.json", "test/P36.test.json"):
            (path / name).parent.mkdir(parents=True)
            content = records if name == "train/P36.train.json" else [_question_record(chance)]
            (path / name).write_text(json.dumps(content), encoding="utf-8")
    else:
        source, _, suffix = kind.partition(".")
        path = damaged = folder / f"case.{suffix}"
        reference = f"{source}:{path}"
        _write(records, damaged)
    if fault in _IN_BYTES:
        damaged.write_bytes(_IN_BYTES[fault](damaged.read_bytes(), chance))
    return Case(reference, path, kind, fault)


def outcome(case: Case) -> Outcome:
    """Open a case and check what must hold; raises AssertionError where it does not."""
    try:
        found = open_facts(case.reference)
    except SixtyfoldError as refused:
        told = str(refused)
        assert str(case.path) in told, f"{case}: does not name the file: {told}"
        assert "\n" not in told, f"{case}: more than a line: {told}"
        assert "Traceback" not in told
        assert len(told) < 1500, f"{case}: {len(told)} characters"
        return Outcome("refused", told.replace(str(case.path), "FILE"))
    merged = 0
    for note in found.notes:
        if told_merged := re.fullmatch(r"([\d,]+) rows? merged into facts seen before", note):
            merged = int(told_merged[1].replace(",", ""))
    try:
        rows = count_rows(case)
    except (duckdb.Error, RecursionError) as error:
        return Outcome("read, not countable", f"{type(error).__name__} in the independent count")
    assert found.facts.height + merged == rows, f"{case}: {found.facts.height}+{merged} of {rows}"
    return Outcome("read", f"{rows} rows")


def count_rows(case: Case) -> int:
    """Count the rows of a file without code of the package."""
    if case.kind == "entityquestions":
        files = sorted(case.path.rglob("*.json"))
        return sum(len(json.loads(path.read_text(encoding="utf-8-sig"))) for path in files)
    if case.kind == "table.parquet":
        query = "select count(*) from read_parquet(?)"
        return int(duckdb.execute(query, [str(case.path)]).fetchall()[0][0])
    text = case.path.read_bytes().decode("utf-8-sig")
    if case.kind.endswith("sv"):
        return delimited_rows(text, "\t" if case.kind.endswith("tsv") else ",") - 1
    if case.kind.endswith(".json") and text.strip().startswith("["):
        return len(json.loads(text))
    return sum(1 for line in text.split("\n") if line.strip())


def delimited_rows(text: str, delimiter: str) -> int:
    """Count rows that are not blank; a quote counts where a field begins, and inside one."""
    rows, quoted, begins, blank = 0, False, True, True
    for char in text.replace("\r\n", "\n").replace("\r", "\n") + "\n":
        if char == '"' and (quoted or begins):
            quoted, begins, blank = not quoted, quoted, False
        elif not quoted and char == "\n":
            rows += not blank
            begins = blank = True
        else:
            begins = not quoted and char == delimiter
            blank = False
    return rows


def _table_record(chance: random.Random) -> Record:
    place = chance.choice(_PLACES)
    return {
        "id": chance.randrange(10**9),
        "question": f"What is the capital of {place}?",
        "answers": [f"City {chance.randrange(3)}", "ü|x"][: chance.randint(1, 2)],
        "subject": place,
        "split": chance.choice(["train", "validation", "test"]),
        "popularity": chance.randrange(1000),
    }


def _popqa_record(chance: random.Random) -> Record:
    place = chance.choice(_PLACES)
    return {
        "id": chance.randrange(10**9),
        "subj": place,
        "prop": chance.choice(["capital", "father", "genre"]),
        "obj": f"City {chance.randrange(3)}",
        "prop_id": 22,
        "o_aliases": ["ü", 'the "c"'],
        "s_pop": chance.randrange(1000),
        "question": f"What is the capital of {place}?",
        "possible_answers": [f"City {chance.randrange(3)}"],
    }


def _question_record(chance: random.Random) -> Record:
    place = chance.choice(_PLACES)
    return {"question": f"What is the capital of {place}?", "answers": [f"C{chance.randrange(3)}"]}


def _write(records: list[Record], path: Path) -> None:
    if path.suffix == ".parquet":
        try:
            pl.DataFrame(records, strict=False, infer_schema_length=None).write_parquet(path)
        except (
            pl.exceptions.PolarsError,
            TypeError,
            ValueError,
            OverflowError,
        ):  # kinds that no one column holds
            texts = [{name: json.dumps(value) for name, value in each.items()} for each in records]
            pl.DataFrame(texts).write_parquet(path)
        return
    if path.suffix == ".json":
        text = json.dumps(records, ensure_ascii=False, indent=1)
    elif path.suffix == ".jsonl":
        text = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    else:
        text = _delimited(records, "\t" if path.suffix == ".tsv" else ",")
    path.write_bytes(text.encode("utf-8", "replace"))


def _delimited(records: list[Record], delimiter: str) -> str:
    """Write rows; a record without a key makes a row that is too short."""
    header = max(records, key=len)
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(header)
    for record in records:
        values = [record[name] for name in header if name in record]
        lists = (list, dict)
        writer.writerow([json.dumps(v) if isinstance(v, lists) else v for v in values])
    return buffer.getvalue()


def _any(records: list[Record], chance: random.Random) -> tuple[Record, str]:
    record = chance.choice(records)
    return record, chance.choice(sorted(record))


def _without_a_key(records: list[Record], chance: random.Random) -> list[Record]:
    record, key = _any(records, chance)
    del record[key]
    return records


def _of_a_wrong_kind(records: list[Record], chance: random.Random) -> list[Record]:
    record, key = _any(records, chance)
    wrong: list[Any] = [None, True, 7, -1, 1.5, [], {}, [[]], {"text": []}, {"a": {"b": 1}}, [None]]
    wrong += ["", " ", "[", "{", "[1", "nan", "1e9", float("nan"), 10**30, "\ud800", "a\0b"]
    record[key] = chance.choice([*wrong, [["x"]], "x" * 200_000, "a\nb", "a\rb", "\u2028"])
    return records


def _with_a_strange_key(records: list[Record], chance: random.Random) -> list[Record]:
    keys = ["", "Question", "answer", "\n", "aliases", "flags", "domain", "x" * 1000]
    return [{**record, chance.choice(keys): "in"} for record in records]


def _with_a_row_twice(records: list[Record], chance: random.Random) -> list[Record]:
    return [*records, *(dict(chance.choice(records)) for _ in range(chance.randint(1, 3)))]


def _with_an_id_twice(records: list[Record], chance: random.Random) -> list[Record]:
    return [{**record, "id": 7} for record in records]


def _shuffled_keys(records: list[Record], chance: random.Random) -> list[Record]:
    return [dict(chance.sample(sorted(each.items()), len(each))) for each in records]


def _flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _inserted(content: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(content))
    more = [
        b"\0",
        b'"',
        b"'",
        b"\n",
        b"\r",
        b"\r\n",
        b",",
        b"\t",
        b"[",
        b"}",
        b"\\",
        b"\xff",
        b"NaN",
    ]
    more += [
        b"\xe2\x80\xa8",
        b"\xef\xbb\xbf",
        b"\xc3\xa9",
        b" ",
        b"null",
        b":",
        b"1e999",
        b"\\ud800",
    ]
    return content[:at] + chance.choice([*more, chance.randbytes(5)]) + content[at:]


def _slice(content: bytes, chance: random.Random) -> tuple[int, int]:
    at = chance.randrange(len(content))
    return at, at + chance.randint(1, 40)


def _cut_out(content: bytes, chance: random.Random) -> bytes:
    start, end = _slice(content, chance)
    return content[:start] + content[end:]


def _repeated(content: bytes, chance: random.Random) -> bytes:
    start, end = _slice(content, chance)
    return content[:end] + content[start:]


def _swapped_bracket(content: bytes, chance: random.Random) -> bytes:
    places = [index for index, byte in enumerate(content) if byte in b'[]{}",\t:']
    at = chance.choice(places or [0])
    return content[:at] + bytes([chance.choice(b'[]{}",\t:')]) + content[at + 1 :]


def _recoded(content: bytes, chance: random.Random) -> bytes:
    encoding = chance.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"])
    return content.decode("utf-8", "replace").encode(encoding, "replace")


def _line_twice(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    return b"\n".join([*lines[:at], lines[at], *lines[at:]])


_IN_RECORDS: dict[str, Callable[[list[Record], random.Random], list[Record]]] = {
    "key deleted": _without_a_key,
    "wrong kind": _of_a_wrong_kind,
    "strange key": _with_a_strange_key,
    "row doubled": _with_a_row_twice,
    "id doubled": _with_an_id_twice,
    "keys shuffled": _shuffled_keys,
}
_IN_BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits flipped": _flipped,
    "truncated": lambda content, chance: content[: chance.randrange(len(content))],
    "bytes inserted": _inserted,
    "bytes cut out": _cut_out,
    "bytes repeated": _repeated,
    "bracket swapped": _swapped_bracket,
    "other encoding": _recoded,
    "line doubled": _line_twice,
    "other line ends": lambda content, _: content.replace(b"\n", b"\r\n"),
    "old line ends": lambda content, _: content.replace(b"\n", b"\r"),
    "gzip": lambda content, _: gzip.compress(content, mtime=0),
    "zip": lambda content, _: b"PK\x03\x04" + content,
}
