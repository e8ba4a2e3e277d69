"""WiSE-FT: shrink every update alike (arXiv 2109.01903).

Where the tuned model is a LoRA adapter this is also the scale of the adapter: its merged update is
s · B · A, and α times that is the same adapter with the scale α · s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sixtyfold.stages.restore.alternatives.family import Family, Update
from sixtyfold.stages.restore.plans import InterpolatedPlan, Plan


@dataclass(frozen=True)
class Interpolation(Family):
    """base + α · (tuned − base)."""

    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return the interpolations; the factor is the share of the norm."""
        return [InterpolatedPlan(update.region, share) for share in shares]
