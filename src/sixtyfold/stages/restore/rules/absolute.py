"""Largest change, whatever the base weight (magnitude, as Breadcrumbs ranks: arXiv 2312.06795)."""

from __future__ import annotations

import numpy as np

from sixtyfold.core.float_formats import Floats
from sixtyfold.stages.restore.rules.rule import Spot


def score(base: Floats, update: Floats, spot: Spot) -> Floats:  # noqa: ARG001
    """Return |update|.

    >>> score(np.float32([2, 0]), np.float32([-1, 0]), Spot(0, "w", 0)).tolist()
    [1.0, 0.0]
    """
    return np.abs(update)
