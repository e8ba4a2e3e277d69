"""PopQA: 14,267 questions about entities of all degrees of popularity (Mallen et al., 2212.10511).

The release is one TSV; its list columns hold JSON lists as text. Its numbers `prop_id` are rows of
the authors' own tables ("occupation" has 22, which in Wikidata is "father"), so a relation's
Wikidata id follows from its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.columns import listed
from sixtyfold.sources.fields import count, word, words
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.records import Record, read_records
from sixtyfold.sources.relations import read_data
from sixtyfold.sources.rows import ROWS_SCHEMA, SourceRows

#: Name of a relation in PopQA to its Wikidata id.
RELATIONS: Final[dict[str, str]] = {
    "occupation": "P106",
    "place of birth": "P19",
    "genre": "P136",
    "father": "P22",
    "country": "P17",
    "producer": "P162",
    "director": "P57",
    "capital of": "P1376",
    "screenwriter": "P58",
    "composer": "P86",
    "color": "P462",
    "religion": "P140",
    "sport": "P641",
    "author": "P50",
    "mother": "P25",
    "capital": "P36",
}
#: Relations that EntityQuestions asks about the same kind of subject. Not P136: there it is about
#: musicians, here about works.
SHARED_WITH_ENTITYQUESTIONS: Final = ("P106", "P17", "P19", "P36", "P50")
_NEEDED: Final = ("subj", "question")
_ANSWERS: Final = ("obj", "possible_answers", "o_aliases")


def read_popqa(rest: str, options: ReadOptions) -> SourceRows:  # noqa: ARG001 - a Reader
    """Read PopQA.

    Args:
        rest: path of the TSV of the release, or of the same records as json (a list, or one a
            line), jsonl, csv or parquet. Lists may be lists or JSON lists written as text.
        options: not used; the form is fixed.

    Returns:
        relation (Wikidata id, or the name where it is none of PopQA's), subject, answers (`obj`,
        then `possible_answers` and `o_aliases`), question and popularity (`s_pop`, page views a
        month); no split.

    Raises:
        BadInput: the file, a column or a row is not of that form; the message names the line.
        Corrupted: a Parquet file is not readable.
    """
    path = Path(rest)
    records = read_records(path)
    _check_columns(path, {name for each in records for name in each.values})
    rows = [_row(record, f"{path}, {record.place}") for record in records]
    frame = pl.DataFrame(rows, schema=ROWS_SCHEMA)
    found = set(frame["relation"])
    shared = [relation for relation in SHARED_WITH_ENTITYQUESTIONS if relation in found]
    return SourceRows(frame, _templates(shared), _notes(frame, shared))


def _check_columns(path: Path, columns: set[str]) -> None:
    missing = [name for name in _NEEDED if name not in columns]
    if not columns & {"prop", "prop_id"}:
        missing.append("prop")
    if not columns & {"obj", "possible_answers"}:
        missing.append("obj")
    if missing:
        raise BadInput(
            f"{path}: columns here: {listed(sorted(columns))}; missing for "
            f"PopQA: {', '.join(missing)}; give the file of its release, or any other table "
            "as table:FILE"
        )


def _row(record: Record, where: str) -> dict[str, Any]:
    values = record.values
    texts = {name: word(values.get(name), name, where) for name in _NEEDED}
    empty = [name for name, text in texts.items() if not text]
    if empty:
        raise BadInput(f"{where}: '{empty[0]}' is empty or missing; fill it in or drop the row")
    objects = [word(values.get("obj"), "obj", where)]
    for name in ("possible_answers", "o_aliases"):
        objects += _listed(values.get(name), name, where)
    objects = list(dict.fromkeys(each for each in objects if each))
    if not objects:
        raise BadInput(f"{where}: there is no answer in {', '.join(_ANSWERS)}; drop the row")
    return {
        "relation": _relation(values, where),
        "subject": texts["subj"],
        "objects": objects,
        "question": texts["question"],
        "split": None,
        "domain": None,
        "flags": [],
        "popularity": count(values.get("s_pop"), where),
    }


def _relation(values: Mapping[str, Any], where: str) -> str:
    """Return the Wikidata id of a row's relation.

    An id that is written as one ("P106") counts, then the name. A bare number is no Wikidata id.
    """
    name = word(values.get("prop"), "prop", where)
    number = word(values.get("prop_id"), "prop_id", where)
    if re.fullmatch(r"P[1-9][0-9]*", number):
        return number
    if name:
        return RELATIONS.get(name.casefold(), name)
    raise BadInput(
        f"{where}: 'prop' is empty or missing, and prop_id {number[:40]!r} is no Wikidata id like "
        f"P106; needed is a name such as {', '.join(list(RELATIONS)[:3])}"
    )


def _listed(value: Any, name: str, where: str) -> list[str]:
    """Return the texts of a list, or of a JSON list written as text."""
    if isinstance(value, str) and value.strip() and not value.lstrip().startswith("["):
        raise BadInput(
            f"{where}: '{name}' needs a JSON list and holds {value.strip()[:40]!r}; mend the row"
        )
    return words(value, name, where)


def _templates(relations: Sequence[str]) -> dict[str, list[str]]:
    shipped = read_data("entityquestions.yaml")
    return {relation: shipped[relation]["templates"] for relation in relations}


def _notes(frame: pl.DataFrame, shared: Sequence[str]) -> tuple[str, ...]:
    notes = [f"{frame.height:,} rows of {frame['relation'].n_unique():,} relations read"]
    if shared:
        notes.append(f"cloze templates of EntityQuestions used for {', '.join(shared)}")
    own = sorted(set(frame["relation"]) - set(RELATIONS.values()))
    if own:
        few = ", ".join(repr(name)[:40] for name in own[:5]) + (", ..." if len(own) > 5 else "")
        notes.append(f"{len(own):,} relations are none of PopQA's and keep their names: {few}")
    return tuple(notes)
