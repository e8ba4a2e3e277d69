"""What a rule is: a score for every weight, higher = restored first."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sixtyfold.core.float_formats import Floats


class Spot(NamedTuple):
    """Where a run of weights sits, for rules that draw random numbers."""

    seed: int
    tensor: str
    start: int
    """Flat index of the first weight; runs always start at multiples of `CHUNK`."""


class Score(Protocol):
    """The one function of a rule."""

    def __call__(self, base: Floats, update: Floats, spot: Spot) -> Floats:
        """Score a run of weights.

        Args:
            base: base weights, float32, shape (n,).
            update: tuned minus base, float32, shape (n,).
            spot: where the run sits.

        Returns:
            float32, shape (n,); the higher, the earlier a weight is restored. Never NaN.
        """
        ...
