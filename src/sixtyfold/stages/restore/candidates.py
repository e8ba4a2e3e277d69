"""Repairs of one pair as candidates for a search: made to measure, applied in memory.

    with a model loaded in float32:
    candidates = Candidates(open_pair(base, tuned))
    for candidate in candidates.ranked("relative", [1, 5, 20]):
        for name, weights in candidates.tensors(candidate): ...  # overwrite in place
        same_strength = candidates.interpolation(candidate.remaining)

Knows no model class and no torch: the caller overwrites its weights, looked up by
`tensor_names.canonical(name)`. Every candidate gives all tensors of the region, so one overwrites
the one before it. Everything outside the region is tuned in every candidate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from sixtyfold.core.checkpoint_pair import CheckpointPair
from sixtyfold.core.errors import BadInput
from sixtyfold.core.float_formats import Floats
from sixtyfold.core.tensor_names import Region
from sixtyfold.stages.restore.plans import (
    InterpolatedPlan,
    Plan,
    RankedPlan,
    remaining_squares,
    whole_tensor,
)
from sixtyfold.stages.restore.rules import RuleName
from sixtyfold.stages.restore.threshold import Aim, Cut, Ranking, cut

#: Two repairs have the same strength when their remaining norms differ by less than this share.
SAME_NORM = 1e-3


class Candidate(NamedTuple):
    """One way to repair the tuned model."""

    family: str
    """A rule's name, or `interpolation`."""
    percent: float | None
    """Share of the region's weights put back; None for interpolation."""
    alpha: float | None
    """Share of every update that is kept; None for rules."""
    remaining: float
    """‖what remains of the update‖₂ over the region as a share of the whole update's; 1 = tuned."""
    plan: Plan


class Candidates:
    """Makes candidates for one pair and gives their weights.

    Args:
        pair: base and tuned.
        region: the weights that repairs may touch.
        seed: of the rule `random`.

    Raises:
        BadInput: the region has no weights, or tuning changed none of them.
        Corrupted: a weight is not a finite number.
    """

    def __init__(self, pair: CheckpointPair, region: Region = "transformer", seed: int = 0) -> None:
        self.pair = pair
        self.region: Region = region
        self.seed = seed
        self._tensors = pair.region(region)
        self.norm = self.remaining_norm(self.tuned.plan)
        """‖Δ‖₂ of the whole update over the region, float64."""
        if self.norm == 0.0:
            raise BadInput(
                f"{pair.base.directory} and {pair.tuned.directory} have equal weights in region "
                f"'{region}'; there is nothing to repair"
            )

    @property
    def tuned(self) -> Candidate:
        """The tuned model as it is."""
        return Candidate("interpolation", None, 1.0, 1.0, InterpolatedPlan(self.region, 1.0))

    def ranked(self, rule: RuleName, percents: Sequence[float]) -> list[Candidate]:
        """Return one candidate per percentage of weights put back, nested.

        Args:
            rule: what is put back first.
            percents: in 0..100.
        """
        ranking = self._ranking(rule)
        aims = [Aim(number=share_count(percent, ranking.numel)) for percent in percents]
        found = zip(percents, cut(ranking, aims), strict=True)
        return [self._ranked(ranking, percent, each) for percent, each in found]

    def interpolation(self, remaining: float) -> Candidate:
        """Return the interpolation towards the base with a given remaining norm.

        Args:
            remaining: share of the whole update's norm, in 0..1; the factor is the same number.
        """
        _check_share(remaining)
        plan = InterpolatedPlan(self.region, remaining)
        return Candidate("interpolation", None, remaining, remaining, plan)

    def same_norm(self, rule: RuleName, remaining: Sequence[float]) -> list[Candidate]:
        """Return candidates of a rule that leave given remaining norms, within `SAME_NORM`.

        Args:
            rule: what is put back first.
            remaining: shares of the whole update's norm, in 0..1.

        Raises:
            BadInput: the region has too few weights to meet a norm this closely.
        """
        for share in remaining:
            _check_share(share)
        ranking = self._ranking(rule)
        aims = [Aim(squares=(1.0 - share**2) * self.norm**2) for share in remaining]
        candidates = []
        for share, each in zip(remaining, cut(ranking, aims), strict=True):
            candidate = self._ranked(ranking, 100.0 * each.number / ranking.numel, each)
            if abs(candidate.remaining - share) > SAME_NORM * share:
                raise BadInput(
                    f"rule '{rule}' leaves {candidate.remaining:.4f} of the update's norm where "
                    f"{share:.4f} is wanted: region '{self.region}' has too few weights for it"
                )
            candidates.append(candidate)
        return candidates

    def remaining_norm(self, plan: Plan) -> float:
        """Return ‖repaired − base‖₂ over the region, summed in float64."""
        return math.sqrt(
            math.fsum(
                remaining_squares(repaired)
                for tensor in self._tensors
                for repaired in plan.chunks(tensor)
            )
        )

    def tensors(self, candidate: Candidate) -> Iterator[tuple[str, Floats]]:
        """Give every tensor of the region as a candidate has it.

        Yields:
            name in the tuned checkpoint; float32 array of the tuned shape, not rounded to the
            tuned dtype (only interpolation can differ by that). Tied repeats come too.
        """
        repeats: dict[str, list[str]] = {}
        for tensor in self.pair.tensors.values():
            if tensor.twin is not None:
                repeats.setdefault(tensor.twin, []).append(tensor.name)
        for tensor in self._tensors:
            weights = whole_tensor(candidate.plan, tensor)
            for name in (tensor.name, *repeats.get(tensor.name, [])):
                yield name, weights

    def _ranking(self, rule: RuleName) -> Ranking:
        return Ranking(self._tensors, rule, self.seed)

    def _ranked(self, ranking: Ranking, percent: float, found: Cut) -> Candidate:
        plan = RankedPlan(self.region, ranking, found)
        share = self.remaining_norm(plan) / self.norm
        return Candidate(ranking.rule, percent, None, share, plan)


def share_count(percent: float, numel: int) -> int:
    """Return how many weights a percentage is: rounded to the nearest, halves to even.

    >>> share_count(20, 1000), share_count(1, 49), share_count(100, 7)
    (200, 0, 7)
    """
    if not 0.0 <= percent <= 100.0:
        raise BadInput(f"a percentage of weights was given as {percent}; allowed is 0 to 100")
    return int(np.rint(percent / 100.0 * numel))


def _check_share(remaining: float) -> None:
    if not 0.0 <= remaining <= 1.0:
        raise BadInput(f"a remaining norm was given as {remaining}; allowed is 0 to 1")
