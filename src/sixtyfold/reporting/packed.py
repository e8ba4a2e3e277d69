"""Columns of a long table as one compressed text inside the page.

JSON by column, gzip, base64: 100,000 facts take a few megabytes, and the browser unpacks them
(`long_tables.js`). Base64 holds no markup, so the text cannot end the element it stands in.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sixtyfold.reporting.untrusted import LONGEST, finite

Cells = Sequence[str | None] | Sequence[float | int | None]

_FEW = 1000
"""A column with at most this many different texts is written as places in a list of them."""


MOST_BYTES = 12_000_000
"""What the long tables of a page may take, so that the whole file stays below 15 MB."""

_LENGTHS = (LONGEST, 160, 60)
"""Characters at which texts are cut, tried in this order until a table fits."""


class Packed(NamedTuple):
    """A packed table, and what had to be left out for it to fit."""

    text: str
    left_out: str | None


def packed_within(
    make: Callable[[int], Mapping[str, Cells]], filters: Sequence[str], most: int = MOST_BYTES
) -> Packed:
    """Pack a table into at most so many bytes: first with shorter texts, then with fewer rows.

    Args:
        make: returns the columns with texts cut at a number of characters; rows that matter most
            come first.
        filters: headings of columns with a choice of values.
        most: bytes of the packed text.
    """
    for longest in _LENGTHS:
        columns = make(longest)
        text = packed(columns, filters)
        if len(text) <= most:
            cut = f"Texts are cut at {longest} characters to keep this file small."
            return Packed(text, None if longest == LONGEST else cut)
    rows = kept = len(next(iter(columns.values())))
    while len(text) > most:
        kept = min(int(kept * most / len(text) * 0.95), kept - 1)
        text = packed({name: cells[:kept] for name, cells in columns.items()}, filters)
    return Packed(
        text,
        f"Only the first {kept:,} of {rows:,} rows fit into one file, texts cut at {longest} "
        "characters; 'sixtyfold view' shows all.",
    )


def packed(columns: Mapping[str, Cells], filters: Sequence[str]) -> str:
    """Return the columns in the form that the page unpacks; equal columns give equal text.

    Args:
        columns: heading to cells, all of one length.
        filters: headings of text columns with a choice of values; one with more than a thousand
            gets none.
    """
    found = [_column(name, cells) for name, cells in columns.items()]
    value = {
        "columns": found,
        "filters": [
            place
            for name in filters
            for place, column in enumerate(found)
            if column["title"] == name and "words" in column
        ],
        "rows": len(next(iter(columns.values()))),
    }
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 6, mtime=0)).decode()


def unpacked(text: str) -> dict[str, list[Any]]:
    """Return the columns of a packed table.

    >>> unpacked(packed({"state": ["lost", "kept", "lost"], "recall": [0.5, None, 1]}, ["state"]))
    {'state': ['lost', 'kept', 'lost'], 'recall': [0.5, None, 1]}
    """
    value = json.loads(gzip.decompress(base64.b64decode(text)))
    return {
        column["title"]: [column["words"][place] for place in column["places"]]
        if "words" in column
        else column["cells"]
        for column in value["columns"]
    }


def _column(name: str, cells: Cells) -> dict[str, Any]:
    if not any(isinstance(cell, str) for cell in cells):
        return {"title": name, "number": True, "cells": finite(list(cells))}
    texts = ["" if cell is None else str(cell) for cell in cells]
    words = sorted(set(texts))
    if len(words) > _FEW:
        return {"title": name, "number": False, "cells": texts}
    place_of = {word: place for place, word in enumerate(words)}
    places = [place_of[text] for text in texts]
    return {"title": name, "number": False, "words": words, "places": places}
