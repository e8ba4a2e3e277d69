"""Weights drawn at random: the control every ranking has to beat (DARE's mask, not rescaled)."""

from __future__ import annotations

import numpy as np

from sixtyfold.core.float_formats import Floats
from sixtyfold.core.random_streams import random_stream
from sixtyfold.stages.restore.rules.rule import Spot


def score(base: Floats, update: Floats, spot: Spot) -> Floats:  # noqa: ARG001
    """Return uniform numbers that depend on seed, tensor name and position alone.

    >>> one = score(np.zeros(3, np.float32), np.zeros(3, np.float32), Spot(7, "w", 0))
    >>> other = score(np.ones(3, np.float32), np.zeros(3, np.float32), Spot(7, "w", 0))
    >>> one.tolist() == other.tolist()
    True
    """
    stream = random_stream("rule random", spot.seed, spot.tensor, spot.start)
    return stream.random(base.size, dtype=np.float32)
