"""A user's own facts: csv, tsv, jsonl or parquet with at least a question and an answer.

Columns are guessed from usual names and the guess is told. Rows of one fact are merged: their
answers are united (and the fact flagged `ambiguous` where they share none), and the split is taken
in the order test, dev, train, so that nothing that is tested is trained on.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import DOMAINS, FACTS_SCHEMA, check_facts, fact_id, normalise
from sixtyfold.core.templates import QUESTION_TEMPLATES, template_table
from sixtyfold.sources.columns import describe_guess, guess_columns
from sixtyfold.sources.records import Record, read_records
from sixtyfold.sources.spellings import stands_in
from sixtyfold.sources.splits import hashed_split

DEFAULT_RELATION = "question"
SPLIT_SEED = "0"
#: What other tools call the splits.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "valid": "dev",
    "validation": "dev",
    "val": "dev",
    "test": "test",
    "eval": "test",
}
_PRECEDENCE = ("test", "dev", "train")


class TableFacts(NamedTuple):
    """Facts (`FACTS_SCHEMA`), templates (`TEMPLATES_SCHEMA`) and what was guessed or merged."""

    facts: pl.DataFrame
    templates: pl.DataFrame
    notes: tuple[str, ...]


def read_facts_table(path: Path) -> TableFacts:
    """Read facts from a table.

    Args:
        path: a csv, tsv, jsonl or parquet file. Needed are a question and one or more answers (a
            list, or text with '|' between answers); aliases, subject, relation, split, domain,
            popularity and flags are read where they are.

    Raises:
        BadInput: the file, a column or a row is not what it should be; the message names the line.
        Corrupted: a Parquet file is not readable.
    """
    records = read_records(path)
    columns = guess_columns(dict.fromkeys(name for each in records for name in each.values), path)
    rows = [_row(record, columns, path) for record in records]
    merged, repeated = _merged(rows)
    facts = check_facts(pl.DataFrame(merged, schema=FACTS_SCHEMA), str(path))
    relations = facts["relation"].unique().to_list()
    templates = template_table(dict.fromkeys(relations, QUESTION_TEMPLATES))
    notes = [describe_guess(columns)]
    if "split" not in columns:
        notes.append("no split column: split 50:20:30 into train, dev and test by a hash")
    if repeated:
        notes.append(f"{repeated} rows merged into facts seen before")
    notes.append("no cloze templates: probed through phrasings of the question")
    return TableFacts(facts, templates, tuple(notes))


def _row(record: Record, columns: dict[str, str], path: Path) -> dict[str, Any]:
    """Return the fact a record holds, as values of `FACTS_SCHEMA`."""
    where = f"{path}, line {record.line}"
    given = {field: record.values.get(column) for field, column in columns.items()}
    question = _word(given.get("question"), "question", where)
    if not question:
        raise BadInput(f"{where}: the question is empty; fill it in or drop the row")
    subject = _word(given.get("subject"), "subject", where)
    relation = _word(given.get("relation"), "relation", where) or DEFAULT_RELATION
    objects = _words(given.get("answers"), "answers", where)
    if not objects:
        raise BadInput(f"{where}: there is no answer; fill it in or drop the row")
    objects += _words(given.get("aliases"), "aliases", where)
    key = fact_id(relation, subject, question)
    flags = set(_words(given.get("flags"), "flags", where))
    if any(stands_in(answer, subject or question) for answer in objects):
        flags.add("answer_in_subject")
    return {
        "fact_id": key,
        "relation": relation,
        "subject": subject,
        "objects": list(dict.fromkeys(objects)),
        "question": question,
        "split": _split(given, key, where, given_at_all="split" in columns),
        "domain": _domain(given, where),
        "flags": sorted(flags),
        "popularity": _count(given.get("popularity"), where),
    }


def _word(value: Any, field: str, where: str) -> str:
    """Return one text; numbers are taken as written, nothing as an empty text."""
    if value is None or isinstance(value, str):
        text = value or ""
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        text = str(value)
    else:
        kind = type(value).__name__
        raise BadInput(f"{where}: '{field}' needs text and holds a {kind}; mend the row")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(f"{where}: '{field}' holds half a character (a lone surrogate)") from None
    return " ".join(text.split())


def _words(value: Any, field: str, where: str) -> list[str]:
    """Return a list of texts: a list, a list written as JSON, or texts with '|' between them."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, str):
        value = value.split("|")
    values = value if isinstance(value, (list, tuple)) else [value]
    return [text for each in values if (text := _word(each, field, where))]


def _split(given: dict[str, Any], key: str, where: str, *, given_at_all: bool) -> str:
    if not given_at_all:
        return hashed_split(key, SPLIT_SEED)
    name = _word(given.get("split"), "split", where).casefold()
    if name not in SPLIT_NAMES:
        hint = suggestion(name, SPLIT_NAMES)
        allowed = ", ".join(SPLIT_NAMES)
        raise BadInput(f"{where}: split {name!r} was given; allowed are {allowed}{hint}")
    return SPLIT_NAMES[name]


def _domain(given: dict[str, Any], where: str) -> str:
    name = _word(given.get("domain"), "domain", where).casefold() or "in"
    if name not in DOMAINS:
        raise BadInput(f"{where}: domain {name!r} was given; allowed are 'in' and 'out'")
    return name


def _count(value: Any, where: str) -> int | None:
    text = _word(value, "popularity", where)
    if not text:
        return None
    number = float(text) if re.fullmatch(r"\d{1,18}(\.\d+)?", text) else math.nan
    if math.isnan(number):
        raise BadInput(f"{where}: popularity {text!r} was given; a whole number is needed")
    return int(number)


def _merged(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """Unite the rows of each fact; return the facts and how many rows went into others."""
    facts: dict[str, dict[str, Any]] = {}
    for row in rows:
        earlier = facts.setdefault(row["fact_id"], row)
        if earlier is row:
            continue
        answers = {normalise(each) for each in earlier["objects"]}
        if not answers & {normalise(each) for each in row["objects"]}:
            earlier["flags"] = sorted({*earlier["flags"], "ambiguous"})
        earlier["flags"] = sorted({*earlier["flags"], *row["flags"]})
        earlier["objects"] = list(dict.fromkeys([*earlier["objects"], *row["objects"]]))
        earlier["split"] = min(earlier["split"], row["split"], key=_PRECEDENCE.index)
        if row["popularity"] is not None:
            earlier["popularity"] = max(row["popularity"], earlier["popularity"] or 0)
    return list(facts.values()), len(rows) - len(facts)
