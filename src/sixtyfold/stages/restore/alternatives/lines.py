"""LiNeS: shallow layers keep less of their update than deep ones (arXiv 2410.17146).

Layer l of the region's L keeps α + β · (l − 1) / (L − 1) of its update; here β = 1 − α, so that
the deepest layer stays tuned. Weights outside the layers keep α, as in the authors' code. α = 0 is
as far as it goes: then the norm that remains depends on where the update lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sixtyfold.core.checkpoint_pair import PairedTensor
from sixtyfold.stages.restore.alternatives.by_depth import ScaledPlan
from sixtyfold.stages.restore.alternatives.family import Family, Update, solve
from sixtyfold.stages.restore.plans import Plan


@dataclass(frozen=True)
class Lines(Family):
    """Layer scaling; α sets the norm, exactly."""

    def lowest(self, update: Update) -> float:
        """Return what remains at α = 0."""
        return _left(update, 0.0)

    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return the scalings that leave these shares of the norm."""
        found: list[Plan] = []
        for share in shares:
            alpha = solve(lambda each: _left(update, each), share, tuned=1.0, base=0.0)
            factors = _factors(update.tensors, alpha)
            found.append(ScaledPlan(update.region, factors, f"α = {alpha:.3g}"))
        return found


def _factors(tensors: Sequence[PairedTensor], alpha: float) -> dict[str, float]:
    """Return the share of its update that every tensor keeps."""
    layers = [each.place.layer for each in tensors if each.place.layer is not None] or [0]
    first, last = min(layers), max(layers)
    return {
        each.name: alpha
        + (1.0 - alpha) * ((each.place.layer or first) - first) / max(last - first, 1)
        for each in tensors
    }


def _left(update: Update, alpha: float) -> float:
    factors = _factors(update.tensors, alpha)
    return update.share_left(
        factors[name] ** 2 * squares for name, squares in update.squares.items()
    )
