"""Breadcrumbs: drop outliers and negligible updates (arXiv 2312.06795).

As published both are counted within each tensor; `breadcrumbs-model` counts them over the whole
model. The shares of largest and smallest updates grow together in the ratio 1 : 9 of mergekit's
suggestion (density 0.9, gamma 0.01).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sixtyfold.stages.restore.alternatives.family import MaskedFamily, Update
from sixtyfold.stages.restore.alternatives.trimming import Scope, Shares, trimmed
from sixtyfold.stages.restore.plans import Plan


@dataclass(frozen=True)
class Breadcrumbs(MaskedFamily):
    """Largest and smallest updates put back, in a fixed ratio."""

    scope: Scope
    largest: float = 0.1
    """Part of the dropped weights that is taken from the largest updates."""

    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return the shares dropped that leave these shares of the norm."""

        def dropped(strength: float) -> Shares:
            return Shares(self.largest * strength, (1.0 - self.largest) * strength)

        return trimmed(update, self.scope, dropped, shares)
