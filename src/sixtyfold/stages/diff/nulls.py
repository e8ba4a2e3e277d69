"""What concentration would look like if the update meant nothing.

Relative change divides by the base weight, so the weights near zero carry most of its sum whatever
was learned. Two nulls say how much: the same update shuffled within each tensor, and normal
weights with a normal update of each tensor's own size.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from sixtyfold.core.checkpoint_pair import CHUNK, PairedTensor
from sixtyfold.core.float_formats import Floats
from sixtyfold.core.random_streams import random_stream
from sixtyfold.stages.diff.profile import Profile

#: Added to |base|, as the paper's released code does.
EPSILON = np.float32(1e-8)
#: Base weights below this count as zero in the second figure.
NEAR_ZERO = np.float32(1e-6)
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


def shuffled_update(tensor: PairedTensor, start: int, own: Floats, seed: int) -> Floats:
    """Return the updates that a permutation within the tensor puts at one chunk.

    The tensor's updates are rotated by a random number of places, then shuffled chunk by chunk: a
    permutation of the whole tensor that needs two chunks in memory.

    Args:
        tensor: the tensor.
        start: flat index of the chunk.
        own: the chunk's own updates, shape (n,).
        seed: of the permutation.
    """
    moved = own
    if tensor.numel > CHUNK:
        offset = int(random_stream("null rotation", seed, tensor.name).integers(tensor.numel))
        moved = _rotated(tensor, (start + offset) % tensor.numel, own.size)
    shuffled: Floats = random_stream("null shuffle", seed, tensor.name, start).permutation(moved)
    return shuffled


def _rotated(tensor: PairedTensor, first: int, size: int) -> Floats:
    """Return `size` updates from flat index `first` on, going round at the end."""
    pieces = []
    while size:
        last = min(first + size, tensor.numel)
        pieces.append(tensor.read(first, last).update)
        tensor.release(first, last)
        size -= last - first
        first = 0
    return np.concatenate(pieces)


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
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    normal = NormalDist()
    sizes = np.array([normal.inv_cdf(0.5 + middle / 2) for middle in middles]) * update_rms
    edges = np.exp2(
        np.arange(-_OCTAVES * _BINS_PER_OCTAVE, 4 * _BINS_PER_OCTAVE) / _BINS_PER_OCTAVE
    )
    below = np.array([0.0, *(math.erf(edge / math.sqrt(2)) for edge in edges)])
    centres = np.concatenate([[0.0], np.sqrt(edges[:-1] * edges[1:])]) * base_rms
    weights = np.diff(below) * (numel / _QUANTILES)
    grid = (sizes[None, :] / (centres[:, None] + float(EPSILON))).astype(np.float32)
    spread = np.broadcast_to(weights[:, None], grid.shape)
    away = centres >= NEAR_ZERO
    uniform = np.full(_QUANTILES, numel / _QUANTILES)
    return (
        Profile.of(grid.ravel(), spread.ravel()),
        Profile.of(grid[away].ravel(), spread[away].ravel()),
        Profile.of(sizes.astype(np.float32), uniform),
    )
