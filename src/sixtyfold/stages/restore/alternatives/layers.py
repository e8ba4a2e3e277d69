"""Put whole layers back, from the first on or from the last back (arXiv 2509.16596, table 11).

The layer at the border keeps the part of its update that makes the norm exact. Embeddings come
before the first layer, what follows the layers after the last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sixtyfold.core.checkpoint_pair import PairedTensor
from sixtyfold.stages.restore.alternatives.by_depth import ScaledPlan
from sixtyfold.stages.restore.alternatives.family import Family, Update
from sixtyfold.stages.restore.plans import Plan


@dataclass(frozen=True)
class Layers(Family):
    """Whole layers put back, one end first."""

    end: Literal["first", "last"]

    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return the layers whose restoration leaves these shares of the norm."""
        return [self._plan(update, share) for share in shares]

    def _plan(self, update: Update, share: float) -> ScaledPlan:
        depths = {tensor.name: _depth(tensor) for tensor in update.tensors}
        order = sorted(set(depths.values()), reverse=self.end == "last")
        squares = {
            depth: math.fsum(update.squares[name] for name in depths if depths[name] == depth)
            for depth in order
        }
        spare = (1.0 - share**2) * update.total
        factors, whole = {}, 0
        for depth in order:  # rounded, so that a layer that goes back whole does so bit for bit
            gone = min(1.0, round(spare / squares[depth], 12)) if squares[depth] else 0.0
            factors[depth] = math.sqrt(1.0 - gone)
            whole += gone == 1.0
            spare = max(0.0, spare - squares[depth])
        partly = [factor for factor in factors.values() if 0.0 < factor < 1.0]
        words = f"{whole} layers put back from the {self.end} on"
        if partly:
            words += f", the next keeps {partly[0]:.2g}"
        by_tensor = {name: factors[depth] for name, depth in depths.items()}
        return ScaledPlan(update.region, by_tensor, words)


def _depth(tensor: PairedTensor) -> float:
    if tensor.place.layer is not None:
        return tensor.place.layer
    return -1 if tensor.place.block == "embedding" else math.inf
