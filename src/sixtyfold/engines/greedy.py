"""Greedy answers in batches.

Prompts are sorted by length and cut into fixed chunks, so that a chunk's rows need little padding
and its numbers do not depend on what was finished before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from sixtyfold.engines.first_line import cut_answer, first_line_ended
from sixtyfold.engines.torch_engine import TorchEngine

_SHRINK = 0.8  # taking rows out of a batch copies its cache, so some are taken at once

__all__ = ["Answered", "chunks_by_length", "cut_answer", "first_line_ended", "greedy"]


class Answered(NamedTuple):
    """A greedy continuation.

    ids: generated tokens, without the stop token.
    stopped: whether the model stopped by itself: a stop token or the end of its first line.
    """

    ids: list[int]
    stopped: bool


def chunks_by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Return indices in chunks of at most `size`, longest first, ties in given order.

    >>> chunks_by_length([3, 9, 5], 2)
    [[1, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    return [order[start : start + size] for start in range(0, len(order), size)]


def greedy(
    engine: TorchEngine, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> list[Answered]:
    """Continue each prompt greedily to its stop token, the end of its first line or the limit.

    Args:
        engine: the model.
        prompts: id sequences of one chunk.
        max_new_tokens: limit per prompt.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    stopped = [False] * len(prompts)
    inside = list(range(len(prompts)))
    batch = engine.prefill(prompts)
    for length in range(1, max_new_tokens + 1):
        tokens = batch.logits_BV.argmax(-1)
        keep = []
        for row, (index, token) in enumerate(zip(inside, tokens.tolist(), strict=True)):
            if stopped[index]:
                continue
            if token in engine.stop_ids:
                stopped[index] = True
                continue
            answers[index].append(token)
            if first_line_ended(engine.text(answers[index])):
                stopped[index] = True
                continue
            keep.append(row)
        if not keep or length == max_new_tokens:
            break
        if len(keep) <= _SHRINK * len(inside):
            batch = batch.fork(keep)
            tokens = tokens[torch.as_tensor(keep, device=tokens.device)]
            inside = [inside[row] for row in keep]
        batch.step(tokens)
    return [Answered(ids, flag) for ids, flag in zip(answers, stopped, strict=True)]
