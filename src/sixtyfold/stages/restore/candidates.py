"""Repairs of one pair as candidates for a search: made to measure, applied in memory.

    with a model loaded in float32:
    candidates = Candidates(open_pair(base, tuned))
    for candidate in candidates.ranked("relative", [1, 5, 20]):
        for name, weights in candidates.tensors(candidate): ...  # overwrite in place
        (same_strength,) = candidates.same_norm("interpolation", [candidate.remaining])

Knows no model class and no torch: the caller overwrites its weights, looked up by
`tensor_names.canonical(name)`. Every candidate gives all tensors of the region, so one overwrites
the one before it. Everything outside the region is tuned in every candidate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from sixtyfold.core.checkpoint_pair import CheckpointPair, PairedTensor
from sixtyfold.core.errors import BadInput
from sixtyfold.core.float_formats import Floats
from sixtyfold.core.tensor_names import Region
from sixtyfold.core.threads import in_order
from sixtyfold.stages.restore.alternatives import FAMILIES
from sixtyfold.stages.restore.alternatives.family import measure
from sixtyfold.stages.restore.names import FamilyName, RuleName
from sixtyfold.stages.restore.plans import (
    InterpolatedPlan,
    Plan,
    RankedPlan,
    squares_left,
    stored_squares,
    whole_tensor,
)
from sixtyfold.stages.restore.threshold import Aim, Ranking, cut, share_count

#: Two repairs have the same strength when their remaining norms differ by less than this share.
SAME_NORM = 1e-3


class Candidate(NamedTuple):
    """One way to repair the tuned model."""

    family: FamilyName
    percent: float | None
    """Share of the region's weights put back by a rule; None for the other families."""
    alpha: float | None
    """Share of every update that is kept; None but for interpolation."""
    remaining: float
    """‖what remains of the update‖₂ over the region as a share of the whole update's; 1 = tuned."""
    plan: Plan
    aim: float | None = None
    """The remaining norm it was made for; None where it was made for something else."""


class Candidates:
    """Makes candidates for one pair and gives their weights.

    Args:
        pair: base and tuned.
        region: the weights that repairs may touch.
        seed: of what is drawn at random.

    Raises:
        BadInput: the region has no weights, or tuning changed none of them.
        Corrupted: a weight is not a finite number.
    """

    def __init__(self, pair: CheckpointPair, region: Region = "transformer", seed: int = 0) -> None:
        self.pair = pair
        self.update = measure(pair, region, seed)
        self.norm = math.sqrt(self.update.total)
        """‖Δ‖₂ of the whole update over the region, float64."""

    @property
    def tuned(self) -> Candidate:
        """The tuned model as it is."""
        plan = InterpolatedPlan(self.update.region, 1.0)
        return Candidate("interpolation", None, 1.0, 1.0, plan)

    def ranked(self, rule: RuleName, percents: Sequence[float]) -> list[Candidate]:
        """Return one candidate per percentage of weights put back, nested.

        Args:
            rule: what is put back first.
            percents: in 0..100.
        """
        ranking = Ranking(self.update.tensors, rule, self.update.seed)
        aims = [Aim(number=share_count(percent, ranking.numel)) for percent in percents]
        plans = [RankedPlan(self.update.region, ranking, each) for each in cut(ranking, aims)]
        found = zip(self._measured(rule, plans), percents, strict=True)
        return [each._replace(percent=percent) for each, percent in found]

    def interpolation(self, remaining: float) -> Candidate:
        """Return the interpolation towards the base with a given remaining norm.

        Args:
            remaining: share of the whole update's norm, in 0..1; the factor is the same number.
        """
        _check_share(remaining)
        plan = InterpolatedPlan(self.update.region, remaining)
        return Candidate("interpolation", None, remaining, remaining, plan)

    def nearest_norm(self, family: FamilyName, remaining: Sequence[float]) -> list[Candidate]:
        """Return candidates of a family that leave given remaining norms as closely as it can.

        Args:
            family: a rule, or an alternative.
            remaining: shares of the whole update's norm, in 0..1.
        """
        for share in remaining:
            _check_share(share)
        plans = FAMILIES[family].plans(self.update, remaining)
        found = zip(self._measured(family, plans), remaining, strict=True)
        return [each._replace(aim=share) for each, share in found]

    def same_norm(self, family: FamilyName, remaining: Sequence[float]) -> list[Candidate]:
        """Return candidates of a family that leave given remaining norms, within `SAME_NORM`.

        Raises:
            BadInput: the family cannot meet a norm this closely.
        """
        found = self.nearest_norm(family, remaining)
        for candidate, share in zip(found, remaining, strict=True):
            missed = self.missed(candidate, share)
            if missed:
                raise BadInput(missed)
        return found

    def missed(self, candidate: Candidate, share: float) -> str | None:
        """Say in one line how a candidate misses a remaining norm; None where it meets it."""
        if abs(candidate.remaining - share) <= SAME_NORM * share:
            return None
        lowest = FAMILIES[candidate.family].lowest(self.update)
        reason = f"region '{self.update.region}' has too few weights for it"
        if share < lowest:
            reason = f"{lowest:.4f} is the least it can leave of this update"
        return (
            f"family '{candidate.family}' leaves {candidate.remaining:.4f} of the update's norm "
            f"where {share:.4f} is wanted: {reason}"
        )

    def rounded_off(self, candidate: Candidate) -> str | None:
        """Say in one line how far a checkpoint of a candidate is from the norm it was made for.

        New weights are rounded to the tuned model's number format where they are stored.

        Returns:
            None where they meet the norm, and for what has no `aim`.
        """
        kinds = sorted({tensor.tuned.dtype for tensor in self.update.tensors})
        if candidate.aim is None or set(kinds) <= {"F32", "F64"}:  # these hold what is computed
            return None
        parts = in_order(partial(_stored_squares, candidate.plan), self.update.tensors)
        stored = self.update.share_left(parts)
        if abs(stored - candidate.aim) <= SAME_NORM * candidate.aim:
            return None
        return (
            f"family '{candidate.family}' leaves {stored:.4f} of the update's norm where "
            f"{candidate.aim:.4f} is wanted: its weights are rounded to {' and '.join(kinds)}, "
            "whose steps are wide beside the update; a tuned model in float32 has finer ones"
        )

    def remaining_norm(self, plan: Plan) -> float:
        """Return ‖repaired − base‖₂ over the region, summed in float64."""
        return math.sqrt(math.fsum(in_order(partial(squares_left, plan), self.update.tensors)))

    def tensors(self, candidate: Candidate) -> Iterator[tuple[str, Floats]]:
        """Give every tensor of the region as a candidate has it.

        Yields:
            name in the tuned checkpoint; float32 array of the tuned shape, not rounded to the
            tuned dtype (rules, and whatever only puts weights back, cannot differ by that). Tied
            repeats come too.
        """
        repeats: dict[str, list[str]] = {}
        for tensor in self.pair.tensors.values():
            if tensor.twin is not None:
                repeats.setdefault(tensor.twin, []).append(tensor.name)
        made = in_order(partial(whole_tensor, candidate.plan), self.update.tensors)
        for tensor, weights in zip(self.update.tensors, made, strict=True):
            for name in (tensor.name, *repeats.get(tensor.name, [])):
                yield name, weights

    def _measured(self, family: FamilyName, plans: Sequence[Plan]) -> list[Candidate]:
        left = FAMILIES[family].left(self.update, plans) if plans else []
        return [_candidate(family, plan, share) for plan, share in zip(plans, left, strict=True)]


def _candidate(family: FamilyName, plan: Plan, left: float) -> Candidate:
    percent = alpha = None
    if isinstance(plan, RankedPlan):
        percent = 100.0 * plan.cut.number / plan.ranking.numel
    if isinstance(plan, InterpolatedPlan):
        alpha = left = plan.alpha
    return Candidate(family, percent, alpha, left, plan)


def _stored_squares(plan: Plan, tensor: PairedTensor) -> float:
    dtype = tensor.tuned.dtype
    return math.fsum(stored_squares(repaired, dtype) for repaired in plan.chunks(tensor))


def _check_share(remaining: float) -> None:
    if not 0.0 <= remaining <= 1.0:
        raise BadInput(f"a remaining norm was given as {remaining}; allowed is 0 to 1")
