"""What concentration would look like if the update meant nothing.

Relative change divides by the base weight, so the weights near zero carry most of its sum whatever
was learned. Two nulls say how much: the same update shuffled within each tensor, and normal
weights with a normal update of each tensor's own size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sixtyfold.core.bit_histogram import Masses
from sixtyfold.core.checkpoint_pair import CHUNK, Chunk, PairedTensor
from sixtyfold.core.float_formats import Floats
from sixtyfold.core.random_streams import random_stream
from sixtyfold.stages.diff.profile import Profile

#: Added to |base|, as the paper's released code does.
EPSILON = np.float32(1e-8)
#: Base weights below this count as zero in the second figure.
NEAR_ZERO = np.float32(1e-6)
Order = npt.NDArray[np.intp]
_QUANTILES = 256
_OCTAVES = 44
_BINS_PER_OCTAVE = 8


def relative_change(base: Floats, update: Floats) -> Floats:
    """Return |update| / (|base| + 1e-8), float32 (arXiv 2509.16596, section 5).

    >>> relative_change(np.float32([2, 0]), np.float32([-1, 0])).tolist()
    [0.5, 0.0]
    """
    divisor = np.abs(base)
    divisor += EPSILON
    return np.divide(np.abs(update), divisor, out=divisor)


def own_update(chunk: Chunk) -> Floats:
    """Return the update of a chunk, float32."""
    return chunk.update


def shuffled_update(
    tensor: PairedTensor,
    start: int,
    own: Floats,
    seed: int,
    update_of: Callable[[Chunk], Floats] = own_update,
) -> Floats:
    """Return the updates that a permutation within the tensor puts at one chunk.

    The tensor's updates are rotated by a random number of places, then put in a random order chunk
    by chunk: a permutation of the whole tensor that needs two chunks in memory, under which every
    weight is equally likely to get any of the updates.

    Args:
        tensor: the tensor.
        start: flat index of the chunk.
        own: the chunk's own updates, shape (n,).
        seed: of the permutation.
        update_of: what the update of a chunk is.
    """
    moved = own
    if tensor.numel > CHUNK:
        offset = int(random_stream("null rotation", seed, tensor.name).integers(tensor.numel))
        moved = _rotated(tensor, (start + offset) % tensor.numel, own.size, update_of)
    order = _order(seed, tensor.name if own.size < CHUNK else "", own.size)
    return moved.take(order, mode="clip")


@lru_cache(maxsize=2)
def _order(seed: int, name: str, size: int) -> Order:
    """Return a random order; whole chunks share one, the rotation makes them differ."""
    return random_stream("null order", seed, name).permutation(size)


def _rotated(
    tensor: PairedTensor, first: int, size: int, update_of: Callable[[Chunk], Floats]
) -> Floats:
    """Return `size` updates from flat index `first` on, going round at the end."""
    pieces = []
    while size:
        last = min(first + size, tensor.numel)
        pieces.append(update_of(tensor.read(first, last)))
        tensor.release(first, last)
        size -= last - first
        first = 0
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class NormalGrid(NamedTuple):
    """Independent normal weights and updates of one tensor on a grid, without sampling noise."""

    base: Masses
    """|base|, logarithmic bins, shape (bins,)."""
    update: Masses
    """|update|, equally likely, shape (`_QUANTILES`,)."""
    number: Masses
    """Weights in each cell of a row of the grid, shape (bins,)."""

    @classmethod
    def of(cls, numel: int, base_rms: float, update_rms: float) -> NormalGrid:
        """Lay the grid for `numel` weights of these root mean squares."""
        middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        normal = NormalDist()
        sizes = np.array([normal.inv_cdf(0.5 + middle / 2) for middle in middles]) * update_rms
        edges = np.exp2(
            np.arange(-_OCTAVES * _BINS_PER_OCTAVE, 4 * _BINS_PER_OCTAVE) / _BINS_PER_OCTAVE
        )
        below = np.array([0.0, *(math.erf(edge / math.sqrt(2)) for edge in edges)])
        centres = np.concatenate([[0.0], np.sqrt(edges[:-1] * edges[1:])]) * base_rms
        return cls(centres, sizes, np.diff(below) * (numel / _QUANTILES))


def gaussian_profiles(
    numel: int, base_rms: float, update_rms: float
) -> tuple[Profile, Profile, Profile]:
    """Return the expected profiles of a tensor of independent normal weights and updates.

    Deterministic: |base| in logarithmic bins, |update| in equal quantiles, no sampling noise.

    Args:
        numel: weights of the tensor.
        base_rms: root mean square of its base weights.
        update_rms: root mean square of its updates.

    Returns:
        profiles of the relative change, of the relative change where |base| ≥ 1e-6, and of the
        absolute change.
    """
    grid = NormalGrid.of(numel, base_rms, update_rms)
    relative = (grid.update[None, :] / (grid.base[:, None] + float(EPSILON))).astype(np.float32)
    number = np.broadcast_to(grid.number[:, None], relative.shape)
    away = grid.base >= NEAR_ZERO
    uniform = np.full(_QUANTILES, numel / _QUANTILES)
    return (
        Profile.of(relative.ravel(), number.ravel()),
        Profile.of(relative[away].ravel(), number[away].ravel()),
        Profile.of(grid.update.astype(np.float32), uniform),
    )
