"""JSON read by the letter: what Python's parser would take and lose is refused.

Numbers come back as text, exactly as they are written ("1.50" is not "1.5", and an integer may be
of any length); a doubled key, NaN and Infinity are errors.
"""

from __future__ import annotations

import json
from typing import Any

from sixtyfold.core.errors import BadInput

SPACE = " \t\n\r"


class _NotJson(ValueError):
    """JSON that Python takes and that loses a value or is none by the standard."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _NotJson(f"the key {twice[:80]!r} stands twice")
    return found


def _refuse_constant(name: str) -> Any:
    raise _NotJson(f"{name} is no JSON value; write null")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=str, parse_int=str, parse_constant=_refuse_constant
)


def decode_at(text: str, at: int, where: str, advice: str) -> tuple[Any, int]:
    """Parse the JSON value that begins at a place of a text.

    Args:
        text: may go on behind the value.
        at: index of the value's first character.
        where: file and place in it, for messages.
        advice: what to do, for messages.

    Returns:
        the value and the index behind it.

    Raises:
        BadInput: there is no JSON value, a key stands twice, a number is NaN or infinite, or the
            value is nested too deeply.
    """
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        reason = f"not JSON ({error.msg}, character {error.pos - at + 1})"
    except _NotJson as error:
        reason = str(error)
    except RecursionError:
        reason = "not JSON of a record (nested too deeply)"
    raise BadInput(f"{where}: {reason}; {advice}")


def decode(text: str, where: str, advice: str) -> Any:
    """Parse a text that is one JSON value; raises what `decode_at` raises.

    >>> decode('{"a": [1.50, null]}', "t.jsonl, line 1", "mend it")
    {'a': ['1.50', None]}
    """
    text = text.strip(SPACE)
    value, end = decode_at(text, 0, where, advice)
    if end < len(text):
        raise BadInput(f"{where}: text goes on behind the value (character {end + 1}); {advice}")
    return value


def skip_space(text: str, at: int) -> int:
    """Return the index of the next character that is no JSON space, or the text's end."""
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at
