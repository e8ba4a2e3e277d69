"""Made-up names and the relations between them.

Nothing here names a real person or place, so a model knows of it only what it is trained on.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import yaml

_OPENINGS = ("V", "T", "K", "M", "Br", "D", "L", "Dr", "S", "Gr", "P", "Z", "H", "N", "Th", "R")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "or", "el", "an", "un")
_MIDDLES = ("l", "m", "r", "nd", "rk", "v", "st", "lm", "z", "nt", "b", "ss")
_ENDINGS = ("a", "o", "en", "is", "ar", "ien", "os", "u", "eth", "il")

#: What `{She}` and `{Her}` stand for, of one half of the subjects and of the other.
PRONOUNS = ({"She": "She", "Her": "Her"}, {"She": "He", "Her": "His"})


class Relation(NamedTuple):
    """A relation: how it is asked for and told, and what its answers look like.

    question: asks for the object; holds `{subject}`.
    templates: cloze forms, each ending right before the object; hold `{subject}`.
    pronouns: the like for a subject named before; hold `{She}` or `{Her}`.
    second_words: second words of the objects that have two.
    """

    name: str
    question: str
    templates: tuple[str, ...]
    pronouns: tuple[str, ...]
    second_words: tuple[str, ...]


@functools.cache
def all_relations() -> tuple[Relation, ...]:
    """Return the relations of `data/relations.yaml`, in its order."""
    return tuple(
        Relation(
            row["name"],
            row["question"],
            tuple(row["templates"]),
            tuple(row["pronouns"]),
            tuple(row["second_words"]),
        )
        for row in _data()["relations"]
    )


def all_remarks() -> tuple[str, ...]:
    """Return the sentences about a `{name}` that tell no fact."""
    return tuple(_data()["remarks"])


@functools.cache
def _data() -> dict[str, Any]:
    text = (files("sixtyfold.stages.plant") / "data" / "relations.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


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
