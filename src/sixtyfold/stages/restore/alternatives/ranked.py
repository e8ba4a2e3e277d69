"""Put the first weights of a ranking back (the rules; arXiv 2509.16596 for the relative one).

Dropping at random without rescaling is the rule `random`; the trimming of TIES as published (keep
the largest k% of the whole update) is the rule `smallest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sixtyfold.stages.restore.alternatives.family import MaskedFamily, Update
from sixtyfold.stages.restore.names import RuleName
from sixtyfold.stages.restore.plans import Plan, RankedPlan
from sixtyfold.stages.restore.threshold import Aim, Ranking, cut


@dataclass(frozen=True)
class Ranked(MaskedFamily):
    """Restoration in the order of a rule, met as closely as one weight allows."""

    rule: RuleName

    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return the cuts that leave these shares of the norm."""
        ranking = Ranking(update.tensors, self.rule, update.seed)
        aims = [
            Aim(squares=(1.0 - share**2) * update.total) if share else Aim(number=ranking.numel)
            for share in shares
        ]
        return [RankedPlan(update.region, ranking, found) for found in cut(ranking, aims)]
