"""Which column of a user's table holds what: named by the user, or guessed from usual names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from sixtyfold.core.errors import BadInput, suggestion

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


def choose_columns(
    columns: Iterable[str], origin: Path | str, named: str | None = None
) -> dict[str, str]:
    """Return field → column of the table.

    Args:
        columns: the column names of the table.
        origin: where it lies, for messages.
        named: `field=column` pairs separated by commas; they come before the guess.

    Raises:
        BadInput: a pair names no field or no column, or there is no column for the question or
            the answers.
    """
    columns = list(columns)
    guessed = _named(named, columns, origin) if named else {}
    by_name: dict[str, str] = {}
    for column in columns:
        if column not in guessed.values():
            by_name.setdefault(column.strip().casefold(), column)
    for field, names in USUAL_NAMES.items():
        found = next((by_name[name] for name in names if name in by_name), None)
        if found is not None:
            guessed.setdefault(field, found)
    missing = [field for field in _NEEDED if field not in guessed]
    if missing:
        needed = "; ".join(f"{field}: {', '.join(USUAL_NAMES[field][:6])}" for field in missing)
        raise BadInput(
            f"{origin}: columns here: {listed(columns)}; needed and not found: a column for the "
            f"{' and one for the '.join(missing)} (usual names: {needed}); "
            "name it with --columns question=NAME,answers=NAME of 'sixtyfold facts build'"
        )
    return guessed


def listed(columns: Iterable[str], most: int = 20) -> str:
    """Return column names for a message, however many and long they are.

    >>> listed(["a", "b", "c"], most=2)
    "'a', 'b' and 1 more"
    """
    names = [repr(name[:40]) for name in columns]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def _named(named: str, columns: list[str], origin: Path | str) -> dict[str, str]:
    """Read `field=column,...`."""
    found: dict[str, str] = {}
    for pair in named.split(","):
        field, equals, column = (part.strip() for part in pair.partition("="))
        if not equals or field not in USUAL_NAMES:
            hint = suggestion(field, USUAL_NAMES)
            allowed = ", ".join(USUAL_NAMES)
            raise BadInput(
                f"--columns holds {pair.strip()!r}; allowed is FIELD=COLUMN with a field of "
                f"{allowed}{hint}"
            )
        if column not in columns:
            raise BadInput(
                f"{origin}: --columns names {column!r}, which is no column here; "
                f"columns here: {listed(columns)}{suggestion(column, columns)}"
            )
        if field in found:
            raise BadInput(f"--columns names the field {field!r} twice; name each field once")
        other = next((each for each in found if found[each] == column), None)
        if other is not None:
            raise BadInput(
                f"--columns gives {column!r} to {other!r} and to {field!r}; give each its own"
            )
        found[field] = column
    return found


def describe_columns(columns: dict[str, str], named: str | None = None) -> str:
    """Return what was read as one line; columns that were not named are a guess.

    >>> describe_columns({"question": "q", "answers": "target"}, "answers=target")
    "columns read: question from 'q' (guessed), answers from 'target'"
    """
    given = {pair.partition("=")[0].strip() for pair in named.split(",")} if named else set()
    parts = [
        f"{field} from {column!r}" + ("" if field in given else " (guessed)")
        for field, column in columns.items()
    ]
    return f"columns read: {', '.join(parts)}"
