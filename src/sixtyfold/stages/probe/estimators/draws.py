"""`draws`, the papers' estimator (arXiv 2409.15825 and 2509.16596): nothing is removed.

Each draw says 1 if its text contains an accepted answer, else 0.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sixtyfold.engines.torch_engine import Batch
from sixtyfold.stages.probe.paths import Paths


class Draws:
    """Leaves every distribution as it is."""

    first_probs: list[float | None]

    def __init__(self, prompts: int) -> None:
        self.first_probs = [None] * prompts
        self.looked = np.zeros(prompts, dtype=np.int64)

    def begin(self, batch: Batch, p_BV: torch.Tensor) -> None:
        """Look at the prompts before anything is drawn: not needed."""

    def remove(self, batch: Batch, p_BV: torch.Tensor, paths: Paths, step: int) -> None:
        """Take hit events out of the distributions: none."""

    def follow(self, paths: Paths, tokens_B: NDArray[np.int64]) -> None:
        """Note the drawn tokens: not needed."""
