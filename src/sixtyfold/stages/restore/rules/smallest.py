"""Smallest change first: a control, it undoes what hardly moved."""

from __future__ import annotations

import numpy as np

from sixtyfold.core.float_formats import Floats
from sixtyfold.stages.restore.rules.rule import Spot


def score(base: Floats, update: Floats, spot: Spot) -> Floats:  # noqa: ARG001
    """Return −|update|; weights that did not move at all come first.

    >>> score(np.float32([2, 0]), np.float32([-1, 3]), Spot(0, "w", 0)).tolist()
    [-1.0, -3.0]
    """
    return np.negative(np.abs(update))
