"""Where an answer ends: at the end of its first line that is not blank. Knows text only."""

from __future__ import annotations


def first_line_ended(text: str) -> bool:
    r"""Whether the first line that is not blank is complete.

    >>> first_line_ended("\n Paris"), first_line_ended(" Paris\n")
    (False, True)
    """
    return "\n" in text.lstrip()


def cut_answer(text: str) -> str:
    r"""Return the first line that is not blank: the one rule of cutting, for every model.

    >>> cut_answer(" Paris\n\nThe capital")
    'Paris'
    """
    return next(iter(text.lstrip().splitlines()), "").strip()
