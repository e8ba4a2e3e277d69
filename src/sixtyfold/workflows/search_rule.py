"""What the best candidate of a search is: scores out of answers, and the rule of the choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from sixtyfold.core.accuracy import accuracy, share
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.statistics import Estimate


class Score(NamedTuple):
    """How one candidate answered the in-domain facts it was asked."""

    accuracy: Estimate
    """Mean over relations."""
    level_4: Estimate | None
    """Share of hits on facts of level 4; None where there is no such fact."""
    remaining: float
    """Share of the update's norm that it leaves."""


class Rule(NamedTuple):
    """What is chosen; ties go to the candidate nearest to the tuned model, then to the first."""

    objective: str
    """`accuracy` or `knowledge`."""
    lose_at_most: float | None
    """Points that `level_4` may be below the highest; None allows all."""

    def order(self, scores: Mapping[int, Score]) -> list[int]:
        """Return the candidates, best first.

        Where none is within `lose_at_most`, which can happen within a family, the one that loses
        least comes first.

        Args:
            scores: by candidate number, all on the same facts.

        >>> one = Score(Estimate(.6, 0, 1, 9), Estimate(.5, 0, 1, 9), .9)
        >>> other = Score(Estimate(.5, 0, 1, 9), Estimate(.9, 0, 1, 9), .5)
        >>> Rule("accuracy", None).order({0: one, 1: other})
        [0, 1]
        >>> Rule("accuracy", 2).order({0: one, 1: other})
        [1, 0]
        """
        lost = points_lost(scores)
        return sorted(scores, key=lambda each: (self._key(scores[each], lost[each] or 0.0), each))

    def _key(self, score: Score, lost: float) -> tuple[bool, float, float]:
        if self.lose_at_most is not None and lost > self.lose_at_most + 1e-9:
            return True, lost, -score.remaining
        wanted = score.accuracy
        if self.objective == "knowledge" and score.level_4 is not None:
            wanted = score.level_4
        return False, -round(wanted.value, 12), -score.remaining


def points_lost(scores: Mapping[int, Score]) -> dict[int, float | None]:
    """Return how many points each candidate's accuracy on level 4 is below the highest."""
    known = {number: each.level_4.value for number, each in scores.items() if each.level_4}
    highest = max(known.values(), default=0.0)
    return {
        number: 100 * (highest - known[number]) if number in known else None for number in scores
    }


def score(answers: pl.DataFrame, remaining: float) -> Score:
    """Return the score of one candidate.

    Args:
        answers: its answers to in-domain facts, at least one.
        remaining: share of the update's norm that it leaves.
    """
    found = accuracy(answers, "in").macro_relation
    if found is None:
        raise ValueError("a candidate is scored on answers to in-domain facts, and there are none")
    known = answers.filter((pl.col("level") == LEVELS[-1]) & (pl.col("domain") == "in"))
    return Score(found, share(known["hit"]), remaining)
