"""Reading one record of a user's data into the fields of a fact, or saying what is wrong with it.

Knows the shapes in which answers are commonly written; does not know files.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import DOMAINS

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


def read_fields(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a row of `ROWS_SCHEMA`.

    Args:
        given: field of a fact (`USUAL_NAMES`) to what the record holds for it. Without the key
            `split` the row gets no split.
        where: file and line, for messages.

    Raises:
        BadInput: the question or the answers are missing, or a value is of the wrong kind.
    """
    question = word(given.get("question"), "question", where)
    if not question:
        raise BadInput(f"{where}: the question is empty; fill it in or drop the row")
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
        BadInput: the value is a list, an object or a truth value, or holds half a character.
    """
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


def words(value: Any, field: str, where: str) -> list[str]:
    """Return a list of texts: a list, a list written as JSON, or texts with '|' between them."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, str):
        value = value.split("|")
    values = value if isinstance(value, (list, tuple)) else [value]
    return [text for each in values if (text := word(each, field, where))]


def split_of(value: Any, where: str) -> str:
    """Return train, dev or test for one of the usual names of a split."""
    name = word(value, "split", where).casefold()
    if name not in SPLIT_NAMES:
        hint = suggestion(name, SPLIT_NAMES)
        allowed = ", ".join(SPLIT_NAMES)
        raise BadInput(f"{where}: split {name!r} was given; allowed are {allowed}{hint}")
    return SPLIT_NAMES[name]


def _domain(value: Any, where: str) -> str:
    name = word(value, "domain", where).casefold() or "in"
    if name not in DOMAINS:
        raise BadInput(f"{where}: domain {name!r} was given; allowed are 'in' and 'out'")
    return name


def count(value: Any, where: str) -> int | None:
    """Return a whole number, or None for nothing."""
    text = word(value, "popularity", where)
    if not text:
        return None
    number = float(text) if re.fullmatch(r"\d{1,18}(\.\d+)?", text) else math.nan
    if math.isnan(number):
        raise BadInput(f"{where}: popularity {text!r} was given; a whole number is needed")
    return int(number)
