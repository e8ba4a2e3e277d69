"""Largest change relative to the base weight (arXiv 2509.16596, section 5: r = |Δ| / |base|)."""

from __future__ import annotations

import numpy as np

from sixtyfold.core.float_formats import Floats
from sixtyfold.stages.restore.rules.rule import Spot

#: The paper's released code adds this to |base|.
EPSILON = np.float32(1e-8)


def score(base: Floats, update: Floats, spot: Spot) -> Floats:  # noqa: ARG001
    """Return |update| / (|base| + 1e-8), float32.

    >>> score(np.float32([2, 0]), np.float32([-1, 0]), Spot(0, "w", 0)).tolist()
    [0.5, 0.0]
    """
    divisor = np.abs(base)
    divisor += EPSILON
    return np.divide(np.abs(update), divisor, out=divisor)
