"""What a run of a model would cost: bytes and seconds, for `--plan`.

Seconds come from one short matrix product timed on the device now, times the share of it that
short forward passes reached where this was measured, and from one long addition, which tells how
fast an optimiser can go over all weights. They are a guide, not a promise.
"""

from __future__ import annotations

import time
from pathlib import Path

from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.models import Dtype, resolve_device, resolve_dtype

# Medians of 5 on 2 cores with AVX-512 BF16: SmolLM2-135M, 96 rows, prompts of 12 tokens.
PREFILL_SHARE = 0.8
STEP_SHARE = 0.36
_SIDE = 1024

# The same machine: 0.8 to 1.0 s a step of 8 short examples, whatever their tokens, at 15 GB/s. Adam
# reads and writes weights, gradients and states; clipping and 16-bit copies come on top.
UPDATE_BYTES = 80
_ADDED = 1 << 25


def parameters(directory: Path) -> int:
    """Return the number of stored weights of a checkpoint directory."""
    return sum(tensor.numel for tensor in open_checkpoint(directory).tensors.values())


def operations_per_second(dtype: Dtype, device: str) -> float:
    """Time a matrix product and return multiply-adds × 2 per second."""
    import torch

    where = resolve_device(device)
    matrix = torch.ones(_SIDE, _SIDE, dtype=resolve_dtype(dtype, where), device=where)
    matrix @ matrix
    start = time.perf_counter()
    repeats = 64
    for _ in range(repeats):
        product = matrix @ matrix
    float(product[0, 0])
    return repeats * 2 * _SIDE**3 / (time.perf_counter() - start)


def forward_seconds(weights: int, prefilled: int, stepped: int, speed: float) -> float:
    """Estimate the time of running tokens through a model.

    Args:
        weights: number of weights.
        prefilled: tokens run many at a time (prompts).
        stepped: tokens run one at a time (draws, answers).
        speed: what `operations_per_second` returned.
    """
    return 2 * weights * (prefilled / PREFILL_SHARE + stepped / STEP_SHARE) / speed


def bytes_per_second(device: str) -> float:
    """Time an addition of long vectors and return the bytes it reads and writes per second."""
    import torch

    where = resolve_device(device)
    one, other = (torch.ones(_ADDED, device=where) for _ in range(2))
    one.add_(other)
    start = time.perf_counter()
    repeats = 4
    for _ in range(repeats):
        one.add_(other)
    float(one[0])
    return repeats * 3 * 4 * _ADDED / (time.perf_counter() - start)


def update_seconds(trained: float, steps: int, bandwidth: float) -> float:
    """Estimate what optimiser steps take beside the tokens: each goes over all trained weights.

    Args:
        trained: number of weights that are trained.
        steps: optimiser steps.
        bandwidth: what `bytes_per_second` returned.

    >>> update_seconds(1_000_000, 10, 8e8)
    1.0
    """
    return UPDATE_BYTES * trained * steps / bandwidth


def tokens_in(seconds: float, weights: int, prefilled: int, speed: float) -> float:
    """Return how many tokens can be stepped in a time that also prefills so many.

    Args:
        seconds: the time.
        weights: number of weights.
        prefilled: tokens run many at a time first.
        speed: what `operations_per_second` returned.
    """
    left = seconds - forward_seconds(weights, prefilled, 0, speed)
    return max(0.0, left / forward_seconds(weights, 0, 1, speed))
