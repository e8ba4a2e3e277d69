"""One factor per tensor, by its depth in the model: what layer scaling and layer blocks share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sixtyfold.core.checkpoint_pair import PairedTensor
from sixtyfold.core.tensor_names import Region
from sixtyfold.stages.restore.plans import Repaired, scaled


class ScaledPlan(NamedTuple):
    """base + factor · update, one factor per tensor; 0 and 1 give base and tuned bit for bit."""

    region: Region
    factors: Mapping[str, float]
    """By tensor name."""
    setting: str

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        return scaled(tensor, self.factors[tensor.name])
