"""The trimming of TIES within each tensor: keep the k% largest of every tensor (arXiv 2306.01708).

So merge tools trim. The paper's own code keeps the k% largest of the whole update, which is the
rule `smallest`. Electing signs and merging need several tuned models and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sixtyfold.stages.restore.alternatives.family import MaskedFamily, Update
from sixtyfold.stages.restore.alternatives.trimming import Shares, trimmed
from sixtyfold.stages.restore.plans import Plan


@dataclass(frozen=True)
class Ties(MaskedFamily):
    """The smallest updates of every tensor put back."""

    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return the shares dropped that leave these shares of the norm."""
        return trimmed(update, "tensor", lambda strength: Shares(0.0, strength), shares)
