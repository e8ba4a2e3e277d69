"""Which worked examples the few-shot prompts of a fact show (SliCK, arXiv 2405.05904)."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import normalise
from sixtyfold.core.prompts import Shot
from sixtyfold.core.random_streams import random_stream


class SlickSettings(NamedTuple):
    """How to ask; the defaults are the paper's.

    prompts: few-shot prompts of a fact, each with other examples.
    shots: worked examples in a prompt.
    samples: sampled answers to a prompt, beside the greedy one.
    temperature, top_k: how they are sampled.
    max_new_tokens: longest answer (ours; the paper gives none).
    batch: most rows (prompts × answers) that run together.
    seed: decides the examples and the samples.
    splits: where examples come from: facts of the first split, and where a relation has too few
        of them, of the next ones as well.
    """

    prompts: int = 10
    shots: int = 4
    samples: int = 16
    temperature: float = 0.5
    top_k: int = 40
    max_new_tokens: int = 32
    batch: int = 192
    seed: int = 0
    splits: tuple[str, ...] = ("dev", "train")


def answers_per_fact(how: SlickSettings) -> int:
    """Return how many answers a fact costs.

    >>> answers_per_fact(SlickSettings())
    170
    """
    return how.prompts * (1 + how.samples)


def slick_shots(
    facts: pl.DataFrame, pool: pl.DataFrame, how: SlickSettings
) -> list[list[list[Shot]]]:
    """Return the worked examples of each prompt of each fact.

    Examples are of the fact's relation; never the fact itself nor one that shares its question. No
    two prompts of a fact show the same set of examples.

    Args:
        facts: rows of the fact table to score.
        pool: the whole fact table; row order changes nothing.
        how: the settings.

    Raises:
        BadInput: a relation has too few facts for that many different prompts.
    """

    @functools.cache
    def examples(relation: str, splits: int) -> _Examples:
        chosen = pool.filter(relation=relation)
        return _examples(chosen.filter(pl.col("split").is_in(how.splits[:splits])))

    shots = []
    for fact_id, relation, question in facts["fact_id", "relation", "question"].iter_rows():
        widening = (examples(relation, end + 1) for end in range(len(how.splits)))
        enough = _enough(widening, fact_id, question, how)
        shots.append(_prompts_of(fact_id, question, enough, how))
    return shots


class _Examples(NamedTuple):
    """Facts of one relation that may be shown, in key order, and where each is."""

    shots: list[Shot]
    by_fact: dict[str, int]
    by_question: dict[str, list[int]]

    def barred(self, fact_id: str, question: str) -> set[int]:
        """Return the indices of a fact and of all that share its question."""
        return {*self.by_question.get(normalise(question), ()), self.by_fact.get(fact_id, -1)} - {
            -1
        }


def _examples(rows: pl.DataFrame) -> _Examples:
    rows = rows.sort("fact_id")
    by_question: dict[str, list[int]] = {}
    for index, question in enumerate(rows["question"]):
        by_question.setdefault(normalise(question), []).append(index)
    return _Examples(
        [Shot(question, objects[0]) for question, objects in rows["question", "objects"].rows()],
        {fact_id: index for index, fact_id in enumerate(rows["fact_id"])},
        by_question,
    )


def _enough(
    widening: Iterable[_Examples], fact_id: str, question: str, how: SlickSettings
) -> _Examples:
    """Return the first examples that make enough different prompts of a fact."""
    available = 0
    for examples in widening:
        available = len(examples.shots) - len(examples.barred(fact_id, question))
        if math.comb(available, how.shots) >= how.prompts:
            return examples
    raise BadInput(
        f"SliCK needs {how.prompts} different prompts of {how.shots} worked examples of the same "
        f"relation, and beside fact {fact_id} ({question!r}) there are {available} in the splits "
        f"{', '.join(how.splits)}; give more such facts, leave the relation out, or ask for fewer "
        "prompts or examples"
    )


def _prompts_of(
    fact_id: str, question: str, examples: _Examples, how: SlickSettings
) -> list[list[Shot]]:
    barred = examples.barred(fact_id, question)
    seen: set[frozenset[int]] = set()
    prompts = []
    for number in range(how.prompts):
        stream = random_stream(how.seed, "slick examples", fact_id, number)
        picked = _picked(stream, len(examples.shots), barred, how.shots)
        while frozenset(picked) in seen:
            picked = _picked(stream, len(examples.shots), barred, how.shots)
        seen.add(frozenset(picked))
        prompts.append([examples.shots[index] for index in picked])
    return prompts


def _picked(stream: np.random.Generator, size: int, barred: set[int], count: int) -> list[int]:
    """Return `count` different indices below `size` that are not barred, each equally likely."""
    picked: list[int] = []
    while len(picked) < count:
        index = int(stream.integers(size))
        if index not in barred and index not in picked:
            picked.append(index)
    return picked
