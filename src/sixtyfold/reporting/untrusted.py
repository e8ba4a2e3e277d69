"""Text that others wrote (model output, facts), made safe to show.

Two things, and no HTML: characters that act instead of showing become visible, and JSON gets a
form that may stand inside `<script>`. Escaping in HTML is jinja2's (autoescape is on).
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

LONGEST = 400
"""Characters of one answer that a table shows."""

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
    shown = "".join(_visible_character(character) for character in text[:longest])
    return shown if len(text) <= longest else f"{shown}… ({len(text)} characters)"


def script_json(value: Any) -> str:
    r"""Write JSON that cannot end the `<script>` it stands in, nor start a comment or a tag.

    >>> script_json("</script><!--")
    '"\\u003c/script\\u003e\\u003c!--"'
    """
    text = json.dumps(
        value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":")
    )
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _visible_character(character: str) -> str:
    if character == "\n":
        return "⏎"
    if unicodedata.category(character) in _ACTING and character not in _JOINERS:
        return f"⟨U+{ord(character):04X}⟩"
    return character
