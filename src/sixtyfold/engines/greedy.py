"""Greedy answers in batches.

Prompts are sorted by length and cut into fixed chunks, so that a chunk's rows need little padding
and its numbers do not depend on what was finished before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from sixtyfold.engines.torch_engine import TorchEngine


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
    alive = list(range(len(prompts)))
    batch = engine.prefill(prompts)
    for _ in range(max_new_tokens):
        tokens = batch.logits_BV.argmax(-1)
        keep = []
        for row, (index, token) in enumerate(zip(alive, tokens.tolist(), strict=True)):
            if token in engine.stop_ids:
                stopped[index] = True
                continue
            answers[index].append(token)
            if first_line_ended(engine.text(answers[index])):
                stopped[index] = True
                continue
            keep.append(row)
        if not keep or len(answers[alive[keep[0]]]) == max_new_tokens:
            break
        if len(keep) < len(alive):
            batch = batch.fork(keep)
            tokens = tokens[torch.as_tensor(keep, device=tokens.device)]
            alive = [alive[row] for row in keep]
        batch.step(tokens)
    return [Answered(ids, flag) for ids, flag in zip(answers, stopped, strict=True)]


def first_line_ended(text: str) -> bool:
    r"""Whether the first line that is not blank is complete.

    >>> first_line_ended("\n Paris"), first_line_ended(" Paris\n")
    (False, True)
    """
    return "\n" in text.lstrip()


def cut_answer(text: str) -> str:
    r"""Return the first line that is not blank: the one rule of cutting, for every model.

    >>> cut_answer(" Paris\n\nThe capital")
    'Paris'
    """
    lines: Iterator[str] = iter(text.lstrip().splitlines())
    return next(lines, "").strip()
