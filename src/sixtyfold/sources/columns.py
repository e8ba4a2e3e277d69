"""Which column of a user's table holds what, guessed from usual names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sixtyfold.core.errors import BadInput

#: Field of a fact to the column names it goes by, the surest first.
USUAL_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "question": ("question", "query", "prompt", "q", "input", "instruction"),
    "answers": (
        *("answers", "answer", "objects", "object", "target", "targets", "completion"),
        *("possible_answers", "output", "response", "label", "a", "obj"),
    ),
    "aliases": ("aliases", "alias", "answer_aliases", "o_aliases"),
    "subject": ("subject", "subj", "entity"),
    "relation": ("relation", "prop", "property", "topic", "category"),
    "split": ("split", "subset", "fold"),
    "domain": ("domain",),
    "popularity": ("popularity", "s_pop", "pop"),
    "flags": ("flags",),
}
_NEEDED: Final = ("question", "answers")


def guess_columns(columns: Iterable[str], path: Path) -> dict[str, str]:
    """Return field → column of the table.

    Args:
        columns: the column names of the table.
        path: where it lies, for the message.

    Raises:
        BadInput: there is no column for the question or the answers.
    """
    columns = list(columns)
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(column.strip().casefold(), column)
    guessed: dict[str, str] = {}
    for field, names in USUAL_NAMES.items():
        found = next((by_name[name] for name in names if name in by_name), None)
        if found is not None:
            guessed[field] = found
    missing = [field for field in _NEEDED if field not in guessed]
    if missing:
        here = ", ".join(repr(name) for name in columns) or "none"
        needed = "; ".join(f"{field}: {', '.join(USUAL_NAMES[field][:6])}" for field in missing)
        raise BadInput(
            f"{path}: columns here: {here}; needed and not found: a column for the "
            f"{' and one for the '.join(missing)} (usual names: {needed}); rename a column"
        )
    return guessed


def describe_guess(guessed: dict[str, str]) -> str:
    """Return the guess as one line.

    >>> describe_guess({"question": "q", "answers": "target"})
    "columns read: question from 'q', answers from 'target'"
    """
    parts = [f"{field} from {column!r}" for field, column in guessed.items()]
    return f"columns read: {', '.join(parts)}"
