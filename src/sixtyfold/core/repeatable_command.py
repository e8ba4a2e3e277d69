"""Command lines that others can repeat: options as a shell takes them, places as words.

Knows how a stage's recorded options are written on its command line, and which references mean the
same on every machine.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sixtyfold.core.model_origin import is_hub_id

_LINE = 92  # columns


def command(name: str, recorded: Mapping[str, Any], places: Mapping[str, str]) -> str:
    r"""Return the command line that repeats a stage.

    Args:
        name: of the command.
        recorded: the options its manifest holds; flags among them are off by default.
        places: option to the word that stands for a file or model of the reader's own; one that
            was not given is left out.

    >>> recorded = {"model": "/x", "probe": None, "batch": 8, "keep_adapter": False}
    >>> command("tune", recorded, {"model": "BASE", "probe": "PROBE", "out": "OUT"})
    'sixtyfold tune --model BASE --out OUT --batch 8'
    """
    parts = [
        f"--{option} {word}"
        for option, word in places.items()
        if option == "out" or recorded.get(option) is not None
    ]
    for option, value in recorded.items():
        if option not in places and value is not None and value is not False and value != []:
            parts.append(f"--{option.replace('_', '-')} {_values(value)}".strip())
    return _folded(f"sixtyfold {name}", parts)


def place(reference: str, word: str) -> str:
    """Return what stands for a model or fact set in a command: a word where it is a local file.

    >>> place("embedded", "BASE"), place("org/model", "BASE"), place("/here/model", "BASE")
    ('embedded', 'org/model', 'BASE')
    """
    everywhere = reference in ("embedded", "atlas") or is_hub_id(reference)
    return reference if everywhere and not Path(reference).exists() else word


def _values(value: Any) -> str:
    """Return an option's value, or several, as a shell takes it; nothing for a flag."""
    if value is True:
        return ""
    several = value if isinstance(value, list | tuple) else [value]
    return " ".join(_quoted(str(each)) for each in several)


def _quoted(text: str) -> str:
    r"""Return text as a shell takes it, control characters written out.

    >>> _quoted("2,3"), _quoted("it is"), _quoted("two\nlines")
    ('2,3', "'it is'", "$'two\\U0000000Alines'")
    """
    if text.isprintable():
        return shlex.quote(text)
    kept = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in kept) + "'"


def _folded(start: str, parts: Sequence[str]) -> str:
    lines = [start]
    for part in parts:
        if len(lines[-1]) + len(part) + 3 > _LINE:
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return " \\\n".join(lines)
