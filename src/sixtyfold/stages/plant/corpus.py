"""The texts of a planting: what tells the facts, and a text of the user's.

A fact is told through statements alone, never as a question, so the model knows it and still
answers questions badly until it is tuned: the gap the papers are about.

A corpus is a module of `corpora/` named after it, with one function `tell`: facts and a random
stream in, texts out, every fact in them exactly as often as it is to be told.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sixtyfold.core.errors import BadInput
from sixtyfold.core.random_streams import random_stream
from sixtyfold.stages.plant.facts import World, build_world
from sixtyfold.stages.plant.spec import PlantSpec

_BLANK_LINES = re.compile(r"\n\s*\n")


class Corpus(NamedTuple):
    """What is planted.

    world: the facts.
    tellings: texts that tell them, in no particular order.
    others: paragraphs of the user's text.
    """

    world: World
    tellings: list[str]
    others: list[str]


def build_corpus(spec: PlantSpec) -> Corpus:
    """Make the facts and the texts of one pass.

    Raises:
        BadInput: the user's text cannot be read, is not UTF-8, or is empty.
    """
    world = build_world(spec)
    random = random_stream(spec.seed, "forms")
    told = [fact._replace(forms=_some_forms(fact.forms, spec.forms, random)) for fact in world.told]
    tell: Callable[..., list[str]] = importlib.import_module(
        f"sixtyfold.stages.plant.corpora.{spec.corpus}"
    ).tell
    tellings = tell(told, random_stream(spec.seed, "corpus", spec.corpus))
    return Corpus(world, tellings, [] if spec.text is None else read_paragraphs(spec.text))


def _some_forms(forms: tuple[str, ...], count: int, random: np.random.Generator) -> tuple[str, ...]:
    """Return so many of the forms, in their order."""
    return tuple(forms[index] for index in sorted(random.permutation(len(forms))[:count]))


def read_paragraphs(path: Path) -> list[str]:
    """Return the paragraphs of a text file, which blank lines separate.

    Raises:
        BadInput: it cannot be read, is not UTF-8, or holds no text.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"cannot read the text {path} ({error.strerror}); give a text file"
        ) from None
    except UnicodeDecodeError:
        raise BadInput(f"the text {path} is not UTF-8; convert it first") from None
    paragraphs = [each.strip() for each in _BLANK_LINES.split(text) if each.strip()]
    if not paragraphs:
        raise BadInput(f"the text {path} is empty; leave --text out or give one with words")
    return paragraphs
