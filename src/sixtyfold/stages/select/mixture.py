"""Which levels a training set is made of: the pool's own mix, some levels, or shares of levels."""

from __future__ import annotations

import math
from typing import NamedTuple

from sixtyfold.core.levels import LEVELS


class Mixture(NamedTuple):
    """Allowed levels, and the share of each where shares were given (they sum to 1)."""

    levels: tuple[int, ...]
    shares: tuple[float, ...] | None

    def __str__(self) -> str:
        if self.shares is not None:
            pairs = zip(self.levels, self.shares, strict=True)
            return ",".join(f"{level}:{share:g}" for level, share in pairs)
        return "natural" if self.levels == LEVELS else ",".join(map(str, self.levels))


def parse_mixture(text: str) -> Mixture:
    """Read `natural`, `2,3` or `0:.1,2:.5,4:.4`.

    Raises:
        ValueError: it is none of these, a level stands twice, or shares do not sum to 1.

    >>> parse_mixture("3,2")
    Mixture(levels=(2, 3), shares=None)
    >>> str(parse_mixture("4:.4,0:.6"))
    '0:0.6,4:0.4'
    """
    if text.strip() == "natural":
        return Mixture(LEVELS, None)
    parts = [part.strip().partition(":") for part in text.split(",")]
    known = {str(level) for level in LEVELS}
    if not all(level.strip() in known for level, _, _ in parts):
        raise ValueError("allowed: natural, levels 0 to 4 as 2,3, or shares of them as 0:.1,2:.9")
    levels = [int(level) for level, _, _ in parts]
    colons = [bool(colon) for _, colon, _ in parts]
    if not any(colons):
        return Mixture(tuple(sorted(set(levels))), None)
    if not all(colons) or len(set(levels)) < len(levels):
        raise ValueError("give every level once, each with its share: 0:.1,2:.5,4:.4")
    shares = [_share(share) for _, _, share in parts]
    if not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
        raise ValueError(f"the shares sum to {sum(shares):g}; they must sum to 1")
    ordered = sorted(zip(levels, shares, strict=True))
    return Mixture(tuple(level for level, _ in ordered), tuple(share for _, share in ordered))


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        raise ValueError(f"the share {text!r} is no number; write .1 for a tenth") from None
    if not 0 < share <= 1:
        raise ValueError(f"the share {text!r} is not above 0 and at most 1")
    return share
