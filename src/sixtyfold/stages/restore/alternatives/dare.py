"""DARE × λ: drop updates at random, rescale the others, shrink all (arXiv 2311.03099).

DARE drops every update with probability p and multiplies the others by 1 / (1 − p), which makes
the update longer, never shorter; the factor λ in front is what sets the norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from sixtyfold.core.checkpoint_pair import Chunk, PairedTensor
from sixtyfold.core.float_formats import sum_of_squares
from sixtyfold.core.random_streams import random_stream
from sixtyfold.core.tensor_names import Region
from sixtyfold.core.threads import in_order
from sixtyfold.stages.restore.alternatives.family import Family, Update
from sixtyfold.stages.restore.plans import Plan, Repaired, between
from sixtyfold.stages.restore.threshold import Mask


class DarePlan(NamedTuple):
    """base + λ / (1 − p) · m · update, m = 0 with probability p."""

    region: Region
    drop: float
    scale: float
    """λ."""
    seed: int

    @property
    def setting(self) -> str:
        """The share dropped and λ."""
        return f"p = {self.drop:g}, λ = {self.scale:.3g}"

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        factor = np.float32(self.scale / (1.0 - self.drop))
        for chunk in tensor.chunks():
            dropped = drawn(self, tensor.name, chunk)
            values = np.where(dropped, chunk.base, chunk.base + factor * chunk.update)
            yield between(chunk, values, tensor.tuned.dtype, dropped)


@dataclass(frozen=True)
class Dare(Family):
    """DARE with a fixed share dropped; λ sets the norm, exactly."""

    drop: float = 0.5

    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return DARE with the factors λ that leave these shares, all with one mask."""
        plain = DarePlan(update.region, self.drop, 1.0, update.seed)
        kept = math.fsum(in_order(partial(_kept_squares, plain), update.tensors))
        longer = update.share_left([kept]) / (1.0 - self.drop)
        return [plain._replace(scale=share / longer if longer else 0.0) for share in shares]


def _kept_squares(plan: DarePlan, tensor: PairedTensor) -> float:
    return math.fsum(
        sum_of_squares(chunk.update[~drawn(plan, tensor.name, chunk)]) for chunk in tensor.chunks()
    )


def drawn(plan: DarePlan, tensor: str, chunk: Chunk) -> Mask:
    """Return which updates of a run are dropped; by seed, tensor name and position alone."""
    stream = random_stream("dare", plan.seed, tensor, chunk.start)
    return stream.random(chunk.base.size, dtype=np.float32) < plan.drop
