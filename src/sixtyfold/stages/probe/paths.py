"""The draws of a chunk on their way, as arrays; and drawing a token for each.

Shapes carry suffixes: B rows (draws) of a batch, N tokens a draw may have, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sixtyfold.core.matching import Matcher
from sixtyfold.stages.probe.lookahead import NOTHING, Promise
from sixtyfold.stages.probe.trie import Trie

_BLOCK = 256


class ClozePrompt(NamedTuple):
    """One template filled with one fact."""

    fact_id: str
    template_id: int
    ids: list[int]
    matcher: Matcher
    trie: Trie


@dataclass
class Paths:
    """Rows of a batch; every row has drawn the same number of tokens.

    Attributes:
        prompt_B: index of each row's prompt in its chunk.
        number_B: which of its prompt's draws a row is, from 0.
        uniforms_BN2: random numbers of every step: for the token, for the roulette.
        survival_B: product of what was not removed so far.
        ids_BN: tokens drawn so far.
        scored_B: tokens run to look ahead so far.
    pending_B: whether the text ends with an answer that the next character decides.
        over_B: whether a row has ended and only waits to leave the batch.
        promised_B: whether a row is inside a spelling that was looked ahead at; then
        promises: what was promised there, by row, and
        node_B: where in the spellings it is.
    """

    prompt_B: NDArray[np.int64]
    number_B: NDArray[np.int64]
    uniforms_BN2: NDArray[np.float64]
    survival_B: NDArray[np.float64]
    ids_BN: NDArray[np.int64]
    scored_B: NDArray[np.int64]
    pending_B: NDArray[np.bool_]
    over_B: NDArray[np.bool_]
    promised_B: NDArray[np.bool_]
    node_B: NDArray[np.int64]
    promises: list[Promise]

    @classmethod
    def start(
        cls,
        prompt_B: NDArray[np.int64],
        number_B: NDArray[np.int64],
        uniforms_BN2: NDArray[np.float64],
    ) -> Paths:
        """Return paths that have drawn nothing."""
        rows, length = uniforms_BN2.shape[:2]
        no = np.zeros(rows, dtype=bool)
        return cls(
            prompt_B,
            number_B,
            uniforms_BN2,
            np.ones(rows),
            np.zeros((rows, length), dtype=np.int64),
            np.zeros(rows, dtype=np.int64),
            no,
            no.copy(),
            no.copy(),
            np.zeros(rows, dtype=np.int64),
            [NOTHING] * rows,
        )

    def __len__(self) -> int:
        return len(self.prompt_B)

    def take(self, keep: NDArray[np.int64]) -> Paths:
        """Return the given rows."""
        return Paths(
            self.prompt_B[keep],
            self.number_B[keep],
            self.uniforms_BN2[keep],
            self.survival_B[keep],
            self.ids_BN[keep],
            self.scored_B[keep],
            self.pending_B[keep],
            self.over_B[keep],
            self.promised_B[keep],
            self.node_B[keep],
            [self.promises[place] for place in keep],
        )


def choose(p_BV: torch.Tensor, uniform_B: NDArray[np.float64]) -> torch.Tensor:
    """Draw one token per row by inverting its cumulative distribution, block by block.

    Summing blocks and then searching one of them reads the distribution once; a running sum over
    the whole vocabulary would write it as well.

    Args:
        p_BV: float32, not negative; rows need not sum to 1. A row of zeros gives any token.
        uniform_B: numbers in [0, 1).

    Returns:
        int64 [B]; a token with p = 0 is never drawn from a row that has another.
    """
    rows, size = p_BV.shape
    whole = size // _BLOCK * _BLOCK
    sums = p_BV[:, :whole].reshape(rows, -1, _BLOCK).sum(-1)
    if whole < size:
        sums = torch.cat([sums, p_BV[:, whole:].sum(1, keepdim=True)], 1)
    running = sums.double().cumsum(1)
    u = torch.as_tensor(uniform_B, device=p_BV.device).double()
    target = _below(u * running[:, -1], running[:, -1])
    block = torch.searchsorted(running, target[:, None], right=True).clamp(max=sums.shape[1] - 1)
    before = torch.where(block > 0, running.gather(1, (block - 1).clamp(min=0)), 0.0)
    places = block * _BLOCK + torch.arange(_BLOCK, device=p_BV.device)
    inside = p_BV.gather(1, places.clamp(max=size - 1)).double()
    inner = (inside * (places < size)).cumsum(1)
    # A block's sum and its running sum round differently: stay below the last token of the block.
    rest = _below(target - before[:, 0], inner[:, -1])
    found = torch.searchsorted(inner, rest[:, None], right=True).clamp(max=_BLOCK - 1)
    return (block * _BLOCK + found)[:, 0].clamp(max=size - 1)


def _below(values: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    """Return values moved below their ends where rounding has carried them there."""
    return torch.minimum(values, torch.nextafter(ends, torch.zeros_like(ends))).clamp(min=0)
