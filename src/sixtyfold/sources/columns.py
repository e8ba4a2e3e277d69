"""Which column of a user's table is what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sixtyfold.core.errors import BadInput

#: Names a column may have, the likeliest first. Compared without case, spaces and underscores.
NAMES = {
    "question": ("question", "query", "prompt", "q", "input", "instruction"),
    "answer": (
        "answers", "answer", "objects", "object", "possible_answers", "target", "completion", "a",
        "output", "label",
    ),
    "aliases": ("aliases", "alias", "accepted", "o_aliases"),
    "subject": ("subject", "subj", "entity", "s"),
    "relation": ("relation", "prop", "predicate", "property", "topic", "category"),
    "split": ("split", "set"),
    "domain": ("domain",),
    "popularity": ("popularity", "s_pop"),
}  # fmt: skip


class Columns(NamedTuple):
    """Column of each part of a fact; None where the table has none."""

    question: str
    answer: str
    aliases: str | None
    subject: str | None
    relation: str | None
    split: str | None
    domain: str | None
    popularity: str | None

    def described(self) -> str:
        """Say which columns are used for what.

        >>> guess_columns(["Q", "A"], "x.csv").described()
        'question = Q, answer = A'
        """
        return ", ".join(f"{part} = {name}" for part, name in self._asdict().items() if name)


def guess_columns(there: Sequence[str], origin: str) -> Columns:
    """Guess the columns from their names.

    Raises:
        BadInput: no column is a question, or none an answer.
    """
    plain = {name.casefold().replace(" ", "").replace("_", ""): name for name in reversed(there)}
    found: dict[str, str | None] = {}
    for part, names in NAMES.items():
        hits = [plain[name.replace("_", "")] for name in names if name.replace("_", "") in plain]
        found[part] = hits[0] if hits else None
    for part in ("question", "answer"):
        if found[part] is None:
            raise BadInput(
                f"{origin} has the columns {', '.join(there) or 'none'}; a column with the "
                f"{part} is needed, named one of {', '.join(NAMES[part])}; rename it"
            )
    return Columns(**found)  # type: ignore[arg-type]
