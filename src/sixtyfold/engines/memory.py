"""How many rows of a batch fit into memory, and what it looks like when they did not."""

from __future__ import annotations

import os
from typing import Any

import torch

MOST_ON_CPU = 256  # more rows at once gain nothing on a few cores
MOST_SHORT_ON_CPU = 512  # short answers end at different times: the last ones are then fewer steps
MOST_ON_GPU = 4096
_SHARE = 0.25  # of the whole memory: the figure must not depend on what else runs now
_REFUSALS = ("can't allocate memory", "not enough memory", "out of memory")


def rows_that_fit(model: Any, tokens: int, most_on_cpu: int = MOST_ON_CPU) -> int:
    """Return how many rows may run together; the same every time on one machine.

    Args:
        model: the loaded model.
        tokens: longest row, prompt and continuation.
        most_on_cpu: more gain nothing there, however much memory there is.
    """
    config = model.config.get_text_config()
    weight = next(model.parameters())
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cached = 2 * config.num_hidden_layers * heads * size * tokens * weight.element_size()
    logits = config.vocab_size * (weight.element_size() + 2 * torch.float32.itemsize)
    row = 2 * cached + logits  # a batch is copied when rows leave it
    if weight.device.type == "cuda":
        whole = torch.cuda.get_device_properties(weight.device).total_memory
        taken = sum(each.numel() * each.element_size() for each in model.parameters())
        return _between(int(2 * _SHARE * (whole - taken)) // row, MOST_ON_GPU)
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return _between(int(_SHARE * whole) // row, most_on_cpu)


def _between(rows: int, most: int) -> int:
    return max(1, min(rows, most))


def ran_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch failed because memory ran out.

    >>> ran_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: ..."))
    True
    """
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(each in said for each in _REFUSALS)
