"""Log-probability of given continuations, in batches of similar length."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sixtyfold.engines.torch_engine import TorchEngine


@torch.inference_mode()
def log_probabilities(
    engine: TorchEngine, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> list[float]:
    """Return the summed log-probability of each answer behind its prompt, at temperature 1.

    Args:
        engine: the model.
        prompts: B non-empty id sequences.
        answers: B non-empty id sequences, one behind each prompt.

    Returns:
        B sums of natural logarithms over the answer's tokens, each at most 0; log-softmax in
        float32, sums in float64.
    """
    batch = engine.prefill(prompts)
    first_BV = batch.logits_BV
    longest = max(len(answer) for answer in answers)
    # The last token's own logits say nothing about the answer; a row of one token needs none.
    rest_BLV = batch.extend([answer[:-1] or answer for answer in answers]) if longest > 1 else None
    sums = []
    for row, answer in enumerate(answers):
        logits_LV = first_BV[row : row + 1]
        if rest_BLV is not None:
            logits_LV = torch.cat([logits_LV, rest_BLV[row, : len(answer) - 1]])
        logp_LV = torch.log_softmax(logits_LV.float(), dim=-1)
        target_L1 = torch.tensor(list(answer), device=logp_LV.device)[:, None]
        sums.append(float(logp_LV.gather(1, target_L1).double().sum()))
    return sums


def token_chunks(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Return indices in chunks, longest first, whose padded size stays within `most` tokens.

    A row longer than `most` is a chunk of its own.

    >>> token_chunks([3, 9, 5], 10)
    [[1], [2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    chunks: list[list[int]] = []
    for index in order:
        if chunks and lengths[chunks[-1][0]] * (len(chunks[-1]) + 1) <= most:
            chunks[-1].append(index)
        else:
            chunks.append([index])
    return chunks
