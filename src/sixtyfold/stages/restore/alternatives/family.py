"""What a family of repairs is: plans for given shares of the update's norm.

All families are set by one number, so that they can be compared at equal strength: the norm of
what remains of the update over the region, as a share of the whole update's (1 = tuned, 0 = base).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

from sixtyfold.core.checkpoint_pair import CheckpointPair, PairedTensor
from sixtyfold.core.errors import BadInput
from sixtyfold.core.float_formats import sum_of_squares
from sixtyfold.core.tensor_names import Region
from sixtyfold.core.threads import in_order
from sixtyfold.stages.restore.plans import MaskedPlan, Plan, masked_squares, squares_left
from sixtyfold.stages.restore.threshold import refuse_non_finite


class Update(NamedTuple):
    """The update of one pair over one region, measured once for all families."""

    region: Region
    tensors: Sequence[PairedTensor]
    """In name order."""
    squares: Mapping[str, float]
    """Σ update² per tensor, float64."""
    seed: int
    """Of what is drawn at random."""

    @property
    def total(self) -> float:
        """Σ update² over the region."""
        return math.fsum(self.squares.values())

    def share_left(self, squares: Iterable[float]) -> float:
        """Return the share of the norm that parts of the update with these Σ have."""
        return math.sqrt(math.fsum(squares) / self.total)


class Family(ABC):
    """One way to repair, at any strength."""

    def lowest(self, update: Update) -> float:  # noqa: ARG002
        """Return the smallest share of the norm that the family can leave; 0 = the base."""
        return 0.0

    @abstractmethod
    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return one plan per share, in the order given.

        Args:
            update: what is repaired.
            shares: of the norm of the update that shall remain, in `lowest`..1.
        """

    def left(self, update: Update, plans: Sequence[Plan]) -> list[float]:
        """Return the share of the norm that remains after each plan, measured on its weights.

        Args:
            update: what is repaired.
            plans: of this family, all from one call of `plans`.
        """
        return [
            update.share_left(in_order(partial(squares_left, plan), update.tensors))
            for plan in plans
        ]


class MaskedFamily(Family):
    """A family of plans that share their rankings, so that one pass measures them all."""

    def left(self, update: Update, plans: Sequence[Plan]) -> list[float]:
        """Return the share of the norm that remains after each plan."""
        masks = cast("Sequence[MaskedPlan]", plans)
        found = list(in_order(partial(masked_squares, masks), update.tensors))
        return [update.share_left(parts) for parts in zip(*found, strict=True)]


def measure(pair: CheckpointPair, region: Region, seed: int) -> Update:
    """Measure the update of a pair over a region.

    Raises:
        BadInput: the region has no weights, or tuning changed none of them.
        Corrupted: a weight is not a finite number.
    """
    tensors = pair.region(region)
    squares = dict(zip((each.name for each in tensors), in_order(_squares, tensors), strict=True))
    update = Update(region, tensors, squares, seed)
    if update.total == 0.0:
        raise BadInput(
            f"{pair.base.directory} and {pair.tuned.directory} have equal weights in region "
            f"'{region}'; there is nothing to repair"
        )
    return update


def _squares(tensor: PairedTensor) -> float:
    parts = []
    for chunk in tensor.chunks():
        update = chunk.update
        refuse_non_finite(tensor.name, update)
        parts.append(sum_of_squares(update))
    return math.fsum(parts)


def solve(left: Callable[[float], float], share: float, tuned: float, base: float) -> float:
    """Return the setting between two ends at which a share of the norm remains.

    Args:
        left: share that remains at a setting; monotone.
        share: what is wanted; beyond what the ends reach it is taken for the nearer end.
        tuned: the setting that changes least.
        base: the setting that changes most.

    >>> round(solve(lambda alpha: alpha**2, 0.25, tuned=1.0, base=0.0), 6)
    0.5
    """
    if share >= left(tuned):
        return tuned
    if share <= left(base):
        return base
    from scipy.optimize import brentq

    return float(brentq(lambda setting: left(setting) - share, tuned, base, xtol=1e-12))
