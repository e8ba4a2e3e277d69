"""Text that others wrote (model output, facts, names), made safe to show as plain text."""

from __future__ import annotations

import unicodedata

LONGEST = 400
"""Characters of one text that a table shows."""

_ACTING = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Unicode categories that are not shown as themselves: controls, formats (bidirectional marks,
zero-width), surrogates, private use, line and paragraph separators."""

_JOINERS = "\u200c\u200d"
"""Belong to the spelling of names in several scripts."""


def visible(text: str | None, longest: int = LONGEST) -> str:
    r"""Replace characters that act by their code point and cut what is too long.

    >>> visible("a\x00b\u202ec")
    'a⟨U+0000⟩b⟨U+202E⟩c'
    >>> visible("two\nlines")
    'two⏎lines'
    >>> visible("abcdef", longest=3)
    'abc… (6 characters)'
    """
    if text is None:
        return ""
    shown = text[:longest]
    if not shown.isprintable():  # otherwise no character of it acts
        shown = "".join(_visible_character(character) for character in shown)
    return shown if len(text) <= longest else f"{shown}… ({len(text)} characters)"


def _visible_character(character: str) -> str:
    if character == "\n":
        return "⏎"
    if unicodedata.category(character) in _ACTING and character not in _JOINERS:
        return f"⟨U+{ord(character):04X}⟩"
    return character
