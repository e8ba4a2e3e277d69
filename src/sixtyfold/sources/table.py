"""A user's own questions and answers: csv, tsv, jsonl or parquet.

Only a question and its accepted answers are needed. Every row is used or refused by file and line;
rows of one fact are merged.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import DOMAINS, SPLITS, check_facts, fact_id, normalise, read_table
from sixtyfold.core.templates import QUESTION_TEMPLATES, template_table
from sixtyfold.sources.columns import Columns, guess_columns
from sixtyfold.sources.spellings import stands_in
from sixtyfold.sources.splits import hashed_split

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
PLAIN_RELATION = "question"
_SPLIT_NAMES = {"training": "train", "validation": "dev", "valid": "dev", "val": "dev"}
_LONGEST_FIELD = 1 << 20


class Record(NamedTuple):
    """A row of the file as it is, with its place for messages."""

    place: str
    values: dict[str, Any]


def read_facts_table(path: Path) -> tuple[pl.DataFrame, pl.DataFrame, tuple[str, ...]]:
    """Read a table of facts.

    Args:
        path: a file with one of the endings in `SUFFIXES`.

    Returns:
        facts, templates (question phrasings, as the relations have no cloze templates of their
        own), and a sentence that says which column was taken for what.

    Raises:
        BadInput: the file is missing, no such table, or a row is no fact (with file and line).
    """
    records = list(read_records(path))
    if not records:
        raise BadInput(f"{path} holds no row; give at least one question with its answer")
    columns = guess_columns(list(records[0].values), str(path))
    facts = merge([_fact(record, columns) for record in records])
    templates = template_table(dict.fromkeys(facts["relation"].unique(), QUESTION_TEMPLATES))
    return check_facts(facts, str(path)), templates, (f"columns: {columns.described()}",)


def read_records(path: Path) -> Iterator[Record]:
    """Yield the rows of a file.

    Raises:
        BadInput: the file is missing, has another ending, or a row cannot be read.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}; give a {', '.join(SUFFIXES)} file")
    if path.suffix == ".parquet":
        frame = read_table(path)
        for number, row in enumerate(frame.iter_rows(named=True)):
            yield Record(f"{path} row {number + 1}", row)
    elif path.suffix == ".jsonl":
        yield from _json_lines(path)
    elif path.suffix in {".csv", ".tsv"}:
        yield from _separated(path)
    else:
        raise BadInput(f"{path} ends in '{path.suffix}'; allowed: {', '.join(SUFFIXES)}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line numbers and lines; refuse what is not UTF-8 or endlessly long."""
    with path.open("rb") as handle:
        number = 0
        while line := handle.readline(_LONGEST_FIELD + 1):
            number += 1
            if len(line) > _LONGEST_FIELD:
                raise BadInput(f"{path} line {number} is longer than 1 MiB; this is no fact table")
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise BadInput(
                    f"{path} line {number} is not UTF-8 (byte {error.start}); save it as UTF-8"
                ) from None
            if "\x00" in text:
                raise BadInput(f"{path} line {number} holds a NUL character; remove it")
            yield number, text


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadInput(f"{path} line {number} is not JSON ({error}); mend it") from None
        if not isinstance(value, dict):
            raise BadInput(f"{path} line {number} is no JSON object but {type(value).__name__}")
        yield Record(f"{path} line {number}", value)


def _separated(path: Path) -> Iterator[Record]:
    numbers = [0]

    def texts() -> Iterator[str]:
        for number, text in _lines(path):
            numbers[0] = number
            yield text

    reader = csv.DictReader(texts(), delimiter="\t" if path.suffix == ".tsv" else ",", strict=True)
    try:
        for row in reader:
            place = f"{path} line {numbers[0]}"
            if None in row or None in row.values():
                raise BadInput(
                    f"{place} has {'more' if None in row else 'fewer'} fields than the first "
                    "line; put quotes around fields that hold the separator"
                )
            yield Record(place, row)
    except csv.Error as error:
        raise BadInput(f"{path} line {numbers[0]} cannot be read ({error}); mend it") from None


def _fact(record: Record, columns: Columns) -> dict[str, Any]:
    """Turn a row into a fact, or refuse it by its place."""
    question = _text(record, columns.question)
    answers = _texts(record, columns.answer)
    if not question:
        raise BadInput(
            f"{record.place}: column '{columns.question}' is empty; fill or drop the row"
        )
    if not answers:
        raise BadInput(f"{record.place}: column '{columns.answer}' is empty; fill or drop the row")
    objects = answers + (_texts(record, columns.aliases) if columns.aliases else [])
    subject = _text(record, columns.subject) if columns.subject else ""
    relation = (_text(record, columns.relation) if columns.relation else "") or PLAIN_RELATION
    key = fact_id(relation, subject, question)
    return {
        "fact_id": key,
        "relation": relation,
        "subject": subject,
        "objects": list(dict.fromkeys(objects)),
        "question": question,
        "split": _word(record, columns.split, SPLITS) or hashed_split(key, PLAIN_RELATION),
        "domain": _word(record, columns.domain, DOMAINS) or "in",
        "flags": ["answer_in_subject"] if any(stands_in(a, subject) for a in objects) else [],
        "popularity": _number(record, columns.popularity),
    }


def _text(record: Record, column: str) -> str:
    value = record.values.get(column)
    if value is None:
        return ""
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise BadInput(
            f"{record.place}: column '{column}' holds {type(value).__name__}; text is needed"
        )
    return " ".join(str(value).split())


def _texts(record: Record, column: str) -> list[str]:
    """Return a list of answers: a JSON list, a list written as JSON, or parts between |."""
    value = record.values.get(column)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            value = [value]
    elif isinstance(value, str):
        value = value.split("|")
    if not isinstance(value, list):
        value = [value]
    one_by_one = [_text(Record(record.place, {column: each}), column) for each in value]
    return [each for each in one_by_one if each]


def _word(record: Record, column: str | None, allowed: tuple[str, ...]) -> str | None:
    if column is None or not _text(record, column):
        return None
    given = _text(record, column).casefold()
    word = _SPLIT_NAMES.get(given, given)
    if word not in allowed:
        raise BadInput(
            f"{record.place}: column '{column}' holds '{given}'; allowed: {', '.join(allowed)}"
        )
    return word


def _number(record: Record, column: str | None) -> int | None:
    if column is None or not _text(record, column):
        return None
    try:
        return int(float(_text(record, column)))
    except (ValueError, OverflowError):
        raise BadInput(
            f"{record.place}: column '{column}' holds '{_text(record, column)}'; a number is needed"
        ) from None


def merge(facts: list[dict[str, Any]]) -> pl.DataFrame:
    """Merge rows of one fact: answers united, test kept before dev before train.

    A fact whose rows give different answers is flagged `ambiguous`.
    """
    merged: dict[str, dict[str, Any]] = {}
    for fact in facts:
        known = merged.setdefault(fact["fact_id"], fact)
        if known is fact:
            continue
        here = {normalise(each) for each in known["objects"]}
        if here != {normalise(each) for each in fact["objects"]}:
            known["flags"] = sorted({*known["flags"], *fact["flags"], "ambiguous"})
        known["objects"] = list(dict.fromkeys([*known["objects"], *fact["objects"]]))
        known["split"] = max(known["split"], fact["split"], key=SPLITS.index)
    return pl.DataFrame(list(merged.values()), schema_overrides={"popularity": pl.Int64})
