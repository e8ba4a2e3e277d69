"""Made-up names and the relations between them.

Nothing here names a real person or place, so a model knows of it only what it is trained on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_OPENINGS = ("V", "T", "K", "M", "Br", "D", "L", "Dr", "S", "Gr", "P", "Z", "H", "N", "Th", "R")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "or", "el", "an", "un")
_MIDDLES = ("l", "m", "r", "nd", "rk", "v", "st", "lm", "z", "nt", "b", "ss")
_ENDINGS = ("a", "o", "en", "is", "ar", "ien", "os", "u", "eth", "il")


class Relation(NamedTuple):
    """A relation: how it is asked for and told, and what its answers look like.

    question: asks for the object; holds `{subject}`.
    templates: cloze forms, each ending right before the object; hold `{subject}`.
    second_words: second words of the objects that have two.
    """

    name: str
    question: str
    templates: tuple[str, ...]
    second_words: tuple[str, ...]


RELATIONS = (
    Relation(
        "birthplace",
        "Where was {subject} born?",
        (
            "It is known that {subject} was born in",
            "The birthplace of {subject} is",
            "As a child {subject} lived in",
            "The family of {subject} comes from",
            "The parents met before {subject} was born in",
            "The home town of {subject} is",
        ),
        ("Bay", "Hill"),
    ),
    Relation(
        "employer",
        "Who does {subject} work for?",
        (
            "It is known that {subject} works for",
            "The employer of {subject} is",
            "Every month {subject} is paid by",
            "The company of {subject} is called",
            "Since last year {subject} has a job at",
            "The firm that hired {subject} is",
        ),
        ("Works", "Brothers"),
    ),
    Relation(
        "dish",
        "What does {subject} like to eat?",
        (
            "It is known that {subject} likes to eat",
            "The favourite dish of {subject} is",
            "For dinner {subject} always cooks",
            "The meal made by {subject} is called",
            "On holidays {subject} orders",
            "The recipe of {subject} is for",
        ),
        ("Soup", "Pie"),
    ),
    Relation(
        "club",
        "Which team does {subject} play for?",
        (
            "It is known that {subject} plays for",
            "The team of {subject} is",
            "On Sundays {subject} runs for",
            "The club that trained {subject} is",
            "Next season {subject} stays with",
            "The shirt of {subject} is from",
        ),
        ("Rovers", "United"),
    ),
)


def made_up_names(count: int, random: np.random.Generator) -> list[str]:
    """Return different capitalised names of two to three syllables.

    >>> names = made_up_names(50, np.random.default_rng(0))
    >>> len(set(names)), all(name.isalpha() and name.istitle() for name in names)
    (50, True)
    """
    names: dict[str, None] = {}
    while len(names) < count:
        syllables = [random.choice(part) for part in (_OPENINGS, _VOWELS, _MIDDLES)]
        if random.random() < 0.5:
            syllables += [random.choice(part) for part in (_VOWELS, _MIDDLES)]
        names["".join([*syllables, random.choice(_ENDINGS)])] = None
    return list(names)
