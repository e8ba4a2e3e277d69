"""Spellings of names: which are equal, and which forms an accepted answer may take."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_APART = str.maketrans({"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ø": "o", "Ø": "O", "’": "'"})


def plain(text: str) -> str:
    """Return a name without accents and other marks on its letters.

    >>> plain("São Tomé"), plain("Łódź")
    ('Sao Tome', 'Lodz')
    """
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_APART))
    kept = "".join(each for each in decomposed if not unicodedata.combining(each))
    return unicodedata.normalize("NFC", kept)


def folded(text: str) -> str:
    """Return the form in which two spellings of a place name are equal.

    >>> folded("Saint-Étienne") == folded("St. Etienne")
    True
    """
    words = re.findall(r"\w+", plain(text).casefold().replace("'", ""))
    return " ".join({"st": "saint", "ste": "sainte"}.get(word, word) for word in words)


def accepted(names: Iterable[str]) -> list[str]:
    """Return the names with their unaccented forms, each once, the first name first.

    >>> accepted(["Bogotá", "Bogota"])
    ['Bogotá', 'Bogota']
    """
    given = [unicodedata.normalize("NFC", name.strip()) for name in names if name.strip()]
    return list(dict.fromkeys(given + [plain(name) for name in given]))


def stands_in(answer: str, subject: str) -> bool:
    """Whether the words of the answer stand in the subject.

    >>> stands_in("Mexico", "Mexico City"), stands_in("Niger", "Nigeria")
    (True, False)
    """
    return f" {folded(answer)} " in f" {folded(subject)} "
