"""Reading one record of a user's data into the fields of a fact, or saying what is wrong with it.

Knows the shapes in which answers are commonly written; does not know files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import DOMAINS
from sixtyfold.sources.json_text import decode

DEFAULT_RELATION = "question"
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
#: Keys of an answer that is an object: SQuAD has `text`, TriviaQA `value` and `aliases`. Its
#: normalised forms are left out; matching normalises by itself.
_ANSWER_KEYS = ("text", "value", "aliases")
#: What TriviaQA writes where the answers are kept back.
_WITHHELD = "<unk>"
_DEEPEST = 4
_BRACKET = (
    'write ["one", "two"] or one|two, and an answer that itself begins with a bracket as ["[one]"]'
)


def read_fields(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a row of `ROWS_SCHEMA`.

    Args:
        given: field of a fact (`USUAL_NAMES`) to what the record holds for it. Without the key
            `split` the row gets no split.
        where: file and place in it, for messages.

    Raises:
        BadInput: the question or the answers are missing, or a value is of the wrong kind.
    """
    question = word(given.get("question"), "question", where)
    if not question:
        raise BadInput(f"{where}: the question is empty or missing; fill it in or drop the row")
    objects = words(given.get("answers"), "answers", where)
    if not objects:
        raise BadInput(f"{where}: there is no answer; fill it in or drop the row")
    objects += words(given.get("aliases"), "aliases", where)
    return {
        "relation": word(given.get("relation"), "relation", where) or DEFAULT_RELATION,
        "subject": word(given.get("subject"), "subject", where),
        "objects": list(dict.fromkeys(objects)),
        "question": question,
        "split": split_of(given["split"], where) if "split" in given else None,
        "domain": _domain(given.get("domain"), where),
        "flags": sorted(set(words(given.get("flags"), "flags", where))),
        "popularity": count(given.get("popularity"), where),
    }


def word(value: Any, field: str, where: str) -> str:
    """Return one text; numbers are taken as written, nothing as an empty text.

    Raises:
        BadInput: the value is a list, an object or a truth value, no finite number, or holds half
            a character.
    """
    if value is None or isinstance(value, str):
        text = value or ""
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise BadInput(f"{where}: '{field}' holds {value}, which is no text; leave it empty")
        # A Parquet column of years with a gap in it holds 1969.0 where 1969 is meant.
        whole = isinstance(value, float) and value.is_integer()
        text = str(int(value)) if whole else str(value)
    else:
        kind = type(value).__name__
        raise BadInput(f"{where}: '{field}' needs text and holds a {kind}; mend the row")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput(
            f"{where}: '{field}' holds half a character (a lone surrogate); mend the row"
        ) from None
    return " ".join(text.split())


def words(value: Any, field: str, where: str) -> list[str]:
    """Return the texts of a value in any of the usual shapes.

    The shapes are: a text; texts with '|' between them; a list; an object with `text` (SQuAD) or
    with `value` and `aliases` (TriviaQA); a list of such; any of these written as JSON.

    >>> words("Paris|Lutetia", "answers", "t.csv, line 2")
    ['Paris', 'Lutetia']
    >>> words({"text": ["Paris"], "answer_start": [4]}, "answers", "t.jsonl, line 2")
    ['Paris']

    Raises:
        BadInput: the value has none of these shapes. A text that opens with a bracket and is no
            JSON is refused as well: taken as an answer, it would never be met.
    """
    if isinstance(value, str):
        if value.lstrip().startswith(("[", "{")):
            return _listed(decode(value, f"{where}: '{field}'", _BRACKET), field, where)
        return [text for each in value.split("|") if (text := word(each, field, where))]
    return _listed(value, field, where)


def _listed(value: Any, field: str, where: str, depth: int = 0) -> list[str]:
    """Return the texts of a value that is no longer split at '|'."""
    if depth > _DEEPEST:
        raise BadInput(f"{where}: '{field}' is nested too deeply; give a list of texts")
    if isinstance(value, Mapping):
        found = [value[key] for key in _ANSWER_KEYS if value.get(key) is not None]
        if not any(key in value for key in _ANSWER_KEYS):
            keys = ", ".join(repr(key)[:40] for key in list(value)[:5]) or "no keys"
            raise BadInput(
                f"{where}: '{field}' needs text or a list and holds a dict with {keys}; "
                f"of objects, those with {', '.join(_ANSWER_KEYS)} are read"
            )
        return [] if found[:1] == [_WITHHELD] else _listed(found, field, where, depth + 1)
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in _listed(each, field, where, depth + 1)]
    text = word(value, field, where)
    return [text] if text else []


def split_of(value: Any, where: str) -> str:
    """Return train, dev or test for one of the usual names of a split."""
    name = word(value, "split", where).casefold()[:80]
    if name not in SPLIT_NAMES:
        hint = suggestion(name, SPLIT_NAMES)
        allowed = ", ".join(SPLIT_NAMES)
        raise BadInput(f"{where}: split {name!r} was given; allowed are {allowed}{hint}")
    return SPLIT_NAMES[name]


def _domain(value: Any, where: str) -> str:
    name = word(value, "domain", where).casefold()[:80] or "in"
    if name not in DOMAINS:
        raise BadInput(f"{where}: domain {name!r} was given; allowed are 'in' and 'out'")
    return name


def count(value: Any, where: str) -> int | None:
    """Return a whole number, or None for nothing."""
    text = word(value, "popularity", where)
    if not text:
        return None
    number = re.fullmatch(r"([0-9]{1,18})(\.0*)?", text)
    if number is None:
        raise BadInput(
            f"{where}: popularity {text[:80]!r} was given; a whole number of at most 18 "
            "digits is needed"
        )
    return int(number[1])
