"""What is wrong with the rows of a training file, without asking the model.

One problem a row, the first of: unreadable, empty, too long, duplicate, contradiction. Of rows that
say the same, or contradict each other, the first one in the file stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sixtyfold.core.facts import normalise
from sixtyfold.core.matching import exact, matcher
from sixtyfold.workflows.check.kinds import Measured
from sixtyfold.workflows.check.rows import SftRow

Name = Literal["unreadable", "empty", "too long", "duplicate", "contradiction"]
NAMES: tuple[Name, ...] = ("unreadable", "empty", "too long", "duplicate", "contradiction")


class Problem(NamedTuple):
    """What is wrong with a row.

    name: one of `NAMES`.
    other: number of the row it repeats or contradicts, counted from 1; None for other problems.
    reason: the same in words.
    """

    name: Name
    other: int | None
    reason: str


def find_problems(
    rows: Sequence[SftRow], measured: Sequence[Measured], max_length: int
) -> list[Problem | None]:
    """Return the problem of each row, None where there is none.

    Args:
        rows: all rows of the file, in order.
        measured: the same rows in tokens.
        max_length: longest row, prompt and answer, in tokens.
    """
    texts: dict[tuple[str, str], int] = {}
    facts: dict[tuple[str, str], int] = {}
    found: list[Problem | None] = []
    for index, (row, tokens) in enumerate(zip(rows, measured, strict=True)):
        said = "\x1f".join(normalise(each["content"]) for each in row.history)
        text = (said, normalise(row.answer))
        question = (normalise(row.system), normalise(row.question))
        problem = _alone(row, tokens, max_length)
        if problem is None and text in texts:
            number = texts[text] + 1
            problem = Problem("duplicate", number, f"says the same as row {number}")
        if problem is None and tokens.kind == "fact" and question in facts:
            first = facts[question]
            problem = _beside(row, rows[first], first + 1)
        if problem is None:  # a row that is dropped is none to compare others with
            texts[text] = index
            if tokens.kind == "fact":
                facts[question] = index
        found.append(problem)
    return found


def _alone(row: SftRow, tokens: Measured, max_length: int) -> Problem | None:
    if tokens.kind == "unreadable":
        return Problem("unreadable", None, tokens.why)
    if not row.answer.strip():
        return Problem("empty", None, "the answer is empty")
    if not row.question:
        return Problem("empty", None, "nothing stands before the answer")
    length = len(tokens.prompt) + len(tokens.answer) + 1  # the end token is learned as well
    if length > max_length:
        return Problem("too long", None, f"{length} tokens, {max_length} are allowed")
    return None


def _beside(row: SftRow, first: SftRow, number: int) -> Problem:
    if agree(row.accepted, first.accepted):
        return Problem("duplicate", number, f"asks and answers the same as row {number}")
    return Problem("contradiction", number, f"row {number} answers {first.answer.strip()!r}")


def agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two sets of accepted answers say the same: one holds an answer of the other.

    >>> agree(["Paris"], ["Paris, France"]), agree(["Paris"], ["Lyon"])
    (True, False)
    """
    return any(
        exact(mine, theirs) or matcher("standard", theirs, "").hit(mine)
        for ours, theirs in ((one, other), (other, one))
        for mine in ours
    )
