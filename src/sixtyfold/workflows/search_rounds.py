"""Rounds of a search: few facts for all candidates, then more for the better half of each family.

Halving goes family by family, so in every round all families have equally many candidates, and
all candidates of a round have answered the same facts. The tuned model takes part in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import polars as pl

from sixtyfold.core.progress import progress_bar
from sixtyfold.core.stage import StageDirectory
from sixtyfold.workflows.search_candidates import Listed
from sixtyfold.workflows.search_model import CandidateModel
from sixtyfold.workflows.search_rule import Rule, Score, points_lost, score


class Rounds(NamedTuple):
    """How many facts each round has asked at its end, and how many candidates a family sends."""

    facts: list[int]
    per_family: list[int]


class Judged(NamedTuple):
    """What all rounds found."""

    scores: dict[int, Score]
    """By candidate number, on all facts the candidate was asked."""
    lost: dict[int, float | None]
    """Points of accuracy on level 4 below the highest of the candidate's last round."""
    reached: dict[int, int]
    """Round that the candidate reached, from 1."""
    order: list[int]
    """Candidates of the last round, best first."""
    answers: pl.DataFrame
    """Columns candidate, round and those of answers; sorted by candidate and fact."""


def rounds(facts: int, per_family: int, halvings: int) -> Rounds:
    """Return the sizes of the rounds.

    >>> rounds(120, 7, 2)
    Rounds(facts=[30, 60, 120], per_family=[7, 4, 2])
    >>> rounds(3, 1, 2)
    Rounds(facts=[1, 2, 3], per_family=[1, 1, 1])
    """
    steps = range(halvings + 1)
    return Rounds(
        [-(-facts // 2 ** (halvings - step)) for step in steps],
        [-(-per_family // 2**step) for step in steps],
    )


def judge(
    stage: StageDirectory,
    model: CandidateModel,
    listed: list[Listed],
    facts: pl.DataFrame,
    plan: Rounds,
    rule: Rule,
) -> Judged:
    """Ask the rounds' questions; what an earlier, killed run asked is not asked again.

    Args:
        stage: where answers are kept as they are made.
        model: answers.
        listed: all candidates.
        facts: in the order in which they are asked.
        plan: sizes of the rounds.
        rule: what is better.
    """
    alive = list(range(len(listed)))
    scores: dict[int, Score] = {}
    lost: dict[int, float | None] = {}
    reached: dict[int, int] = {}
    asked = 0
    order: list[int] = []
    for number, upto in enumerate(plan.facts):
        with progress_bar(f"round {number + 1} of {len(plan.facts)}", len(alive)) as advance:
            for each in alive:
                _ask(stage, model, listed[each], facts[asked:upto], number, each)
                advance()
        asked = upto
        now = {
            each: score(_answers(stage, number, each), listed[each].candidate.remaining)
            for each in alive
        }
        scores |= now
        lost |= points_lost(now)
        reached |= dict.fromkeys(alive, number + 1)
        order = rule.order(now)
        if number + 1 < len(plan.facts):
            alive = sorted(best_of_each(order, listed, plan.per_family[number + 1]))
    return Judged(scores, lost, reached, order, _joined(stage, reached))


def best_of_each(order: Iterable[int], listed: list[Listed], count: int) -> list[int]:
    """Return the first `count` candidates of every family, best first."""
    taken: dict[str, int] = {}
    found = []
    for each in order:
        family = listed[each].family
        taken[family] = taken.get(family, 0) + 1
        if taken[family] <= count:
            found.append(each)
    return found


def _ask(
    stage: StageDirectory,
    model: CandidateModel,
    listed: Listed,
    facts: pl.DataFrame,
    number: int,
    index: int,
) -> None:
    if not stage.has_part(f"round{number}", index):
        stage.write_part(f"round{number}", index, model.answers(listed.candidate, facts))


def _answers(stage: StageDirectory, number: int, index: int) -> pl.DataFrame:
    """Return what a candidate answered up to a round."""
    return pl.concat([stage.read_part(f"round{each}", index) for each in range(number + 1)])


def _joined(stage: StageDirectory, reached: Mapping[int, int]) -> pl.DataFrame:
    parts = [
        stage.read_part(f"round{number}", index).select(
            pl.lit(index, dtype=pl.Int16).alias("candidate"),
            pl.lit(number + 1, dtype=pl.Int8).alias("round"),
            pl.all(),
        )
        for index, last in reached.items()
        for number in range(last)
    ]
    return pl.concat(parts).sort("candidate", "fact_id")
