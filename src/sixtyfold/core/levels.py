"""Levels 0 to 4: what a recall means under the papers' protocol of K templates × 10 draws.

Level 0 is "no hit in K × 10 draws", so a level belongs to a protocol and is never reported
without it. Cut points: arXiv 2509.16596, section 3 (0; .25; .5; .75; 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVELS = (0, 1, 2, 3, 4)
CUTS = (0.0, 0.25, 0.5, 0.75)
DRAWS_PER_TEMPLATE = 10
#: The classes of SliCK (arXiv 2405.05904), the best known first.
SLICK_CLASSES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


def level_of(recall: float) -> int:
    """Return the level of a share of hits.

    >>> [level_of(r) for r in (0, .001, .25, .26, .5, .75, .76, 1)]
    [0, 1, 1, 2, 2, 3, 4, 4]
    """
    return sum(recall > cut for cut in CUTS)


def level_probabilities(
    rates: Sequence[float] | NDArray[np.float64], draws: int = DRAWS_PER_TEMPLATE
) -> NDArray[np.float64]:
    """Return the distribution of the level under `len(rates)` × `draws` plain draws.

    The number of hits is a sum of independent binomials, one per template (stratified, not one
    pooled binomial); its distribution is their convolution, exact.

    Args:
        rates: hit probability of each template, in [0, 1].
        draws: plain draws per template.

    Returns:
        float64[5]: probability of each level; sums to 1.

    >>> level_probabilities([0.0, 0.0]).tolist()
    [1.0, 0.0, 0.0, 0.0, 0.0]
    >>> level_probabilities([1.0, 0.0]).tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0]
    """
    hits = np.ones(1)
    for rate in rates:
        p = min(1.0, max(0.0, float(rate)))
        for _ in range(draws):
            longer = np.zeros(len(hits) + 1)
            longer[:-1] = hits * (1 - p)
            longer[1:] += hits * p
            hits = longer
    total = len(rates) * draws
    levels = np.zeros(len(LEVELS))
    for count, probability in enumerate(hits):
        levels[level_of(count / total)] += probability
    return np.asarray(levels / levels.sum())
