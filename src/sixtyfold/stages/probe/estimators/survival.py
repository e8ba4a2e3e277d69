"""`survival` (docs/estimator.md): forbid hits along a path and multiply what is left.

Let h_t be the probability, given the path so far, of the hit events removed at step t. Then
1 − Π(1 − h_t) is an unbiased estimate of the hit probability, in [0, 1], with no more variance than
a plain draw. Removed are

  1. by look-ahead, whole accepted spellings from their first token (where it has noticeable mass),
  2. at a text that ends with an answer, the tokens that end its word.

Whatever else turns out to be a hit when it is drawn ends the path with survival 0.
Events 1 and 2 never overlap: inside a branch whose mass was removed by 1, what is left of its
tokens is drawn, and the word ends removed by 1 are forbidden without being counted again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from sixtyfold.engines.torch_engine import Batch, TorchEngine
from sixtyfold.stages.probe.distribution import Distribution
from sixtyfold.stages.probe.lookahead import Ask, Promise, look_ahead
from sixtyfold.stages.probe.paths import ClozePrompt, Paths

_FIRST_LOOK = 1e-4  # at the first token nearly everything is looked at: it is the pilot
_LATER_LOOK = 0.02


class Survival:
    """Removes hit events of one chunk.

    Attributes:
        first_probs: per prompt, the probability that the continuation begins with an accepted
            answer: a lower bound of the hit probability; None where nothing is looked ahead at.
        looked: per prompt, tokens run to look ahead from its end.
    """

    def __init__(
        self,
        engine: TorchEngine,
        prompts: Sequence[ClozePrompt],
        temperature: float,
        max_new_tokens: int,
    ) -> None:
        self.prompts = prompts
        self.distribution = Distribution(temperature)
        self.max_new_tokens = max_new_tokens
        self.text: Callable[[Sequence[int]], str] = engine.text
        self.ends_V = torch.from_numpy(engine.vocabulary.ends_word).to(engine.device)
        self.ends_float_V = self.ends_V.float()
        self.removable = np.array([prompt.matcher.settles for prompt in prompts])
        self.firsts, self.is_first = _padded([_first_tokens(prompt) for prompt in prompts])
        self.looked = np.zeros(len(prompts), dtype=np.int64)
        self.first_probs: list[float | None] = [None] * len(prompts)
        self._first: list[dict[int, Promise]] = [{} for _ in prompts]
        self._found: dict[tuple[int, int], Promise] = {}

    def begin(self, batch: Batch, p_BV: torch.Tensor) -> None:
        """Look ahead at every prompt's first token; B is the number of prompts here."""
        every = np.arange(len(self.prompts))
        asked = self._noticeable(p_BV, every, every, self.removable, _FIRST_LOOK)
        for (prompt, token), promise in self._look(batch, asked, 0, self.looked).items():
            self._first[prompt][token] = promise
        for prompt in np.flatnonzero(self.removable).tolist():
            total = sum(
                float(p_BV[prompt, token]) * _reach(promise, token)
                for token, promise in self._first[prompt].items()
            )
            self.first_probs[prompt] = min(1.0, total)

    def remove(self, batch: Batch, p_BV: torch.Tensor, paths: Paths, step: int) -> None:
        """Take hit events out of `p_BV` in place and multiply each row's survival."""
        alive = ~paths.over_B
        inside = np.flatnonzero(alive & paths.promised_B)
        self._forbid_promised(p_BV, paths, inside)
        pending = self._ending(paths, alive, step)
        self._found = self._promises(batch, p_BV, paths, step)
        looked = {place for place, _ in self._found}
        touched = np.array(sorted({*pending.tolist(), *looked}), dtype=np.int64)
        if not len(touched):
            return
        where = torch.from_numpy(touched).to(p_BV.device)
        left = p_BV[where].sum(1)
        if len(pending):
            _zero(p_BV, pending, self.ends_V)
        _scale(
            p_BV,
            [(place, token, 1.0 - _reach(r, token)) for (place, token), r in self._found.items()],
        )
        share = (p_BV[where].sum(1) / left.clamp(min=1e-30)).clamp(0.0, 1.0)
        paths.survival_B[touched] *= share.double().cpu().numpy()

    def follow(self, paths: Paths, tokens_B: NDArray[np.int64]) -> None:
        """Note which rows are inside a spelling that was looked ahead at."""
        for place in np.flatnonzero(paths.promised_B).tolist():
            promise = paths.promises[place]
            child = promise.trie.nodes[paths.node_B[place]].children.get(int(tokens_B[place]))
            paths.promised_B[place] = child is not None
            paths.node_B[place] = child or 0
        for (place, token), promise in self._found.items():
            if tokens_B[place] == token:
                paths.promised_B[place] = True
                paths.promises[place] = promise
                paths.node_B[place] = promise.trie.nodes[0].children[token]

    def _ending(self, paths: Paths, alive: NDArray[np.bool_], step: int) -> NDArray[np.int64]:
        """Return rows whose text ends with an answer that any end of its word makes a hit."""
        places = np.flatnonzero(alive & paths.pending_B & self.removable[paths.prompt_B])
        sure = [
            place
            for place in places.tolist()
            if not self.prompts[paths.prompt_B[place]].matcher.undecided(
                self.text(paths.ids_BN[place, :step].tolist())
            )
        ]
        return np.array(sure, dtype=np.int64)

    def _promises(
        self, batch: Batch, p_BV: torch.Tensor, paths: Paths, step: int
    ) -> dict[tuple[int, int], Promise]:
        """Return what may be removed at this step by (place, first token)."""
        if step == 0:
            return {
                (place, token): promise
                for place, prompt in enumerate(paths.prompt_B)
                for token, promise in self._first[prompt].items()
            }
        allowed = ~paths.over_B & ~paths.promised_B & self.removable[paths.prompt_B]
        places = np.arange(len(paths))
        asked = self._noticeable(p_BV, places, paths.prompt_B, allowed, _LATER_LOOK)
        asked = [
            each
            for each in asked
            if self.prompts[each[1]].matcher.counts_behind(
                self.text(paths.ids_BN[each[0], :step].tolist())
            )
        ]
        return self._look(batch, asked, step, paths.scored_B)

    def _noticeable(
        self,
        p_BV: torch.Tensor,
        places: NDArray[np.int64],
        prompt_B: NDArray[np.int64],
        allowed_B: NDArray[np.bool_],
        least: float,
    ) -> list[tuple[int, int, int]]:
        """Return (place, prompt, first token) where an answer begins with so much mass."""
        firsts_BC = self.firsts[prompt_B]
        mass_BC = p_BV.gather(1, torch.from_numpy(firsts_BC).to(p_BV.device)).cpu().numpy()
        wanted = (mass_BC > least) & self.is_first[prompt_B] & allowed_B[:, None]
        return [
            (int(places[row]), int(prompt_B[row]), int(firsts_BC[row, column]))
            for row, column in zip(*np.nonzero(wanted), strict=True)
        ]

    def _look(
        self,
        batch: Batch,
        asked: Sequence[tuple[int, int, int]],
        step: int,
        counts: NDArray[np.int64],
    ) -> dict[tuple[int, int], Promise]:
        if not asked:
            return {}
        asks = [Ask(place, self.prompts[prompt].trie, token) for place, prompt, token in asked]
        boundaries = any(self.prompts[prompt].matcher.on_boundaries for _, prompt, _ in asked)
        promises = look_ahead(
            batch,
            asks,
            self.ends_float_V if boundaries else None,
            self.distribution,
            self.max_new_tokens - step,
        )
        for place, prompt, token in asked:
            leaves = self.prompts[prompt].trie.leaves(token, self.max_new_tokens - step)
            counts[place] += sum(map(len, leaves))
        return {
            (place, token): promise
            for (place, _, token), promise in zip(asked, promises, strict=True)
        }

    def _forbid_promised(self, p_BV: torch.Tensor, paths: Paths, inside: NDArray[np.int64]) -> None:
        """Forbid, inside a branch, what was already counted when the branch was removed."""
        scales, ended = [], []
        for place in inside.tolist():
            promise = paths.promises[place]
            node = promise.trie.nodes[paths.node_B[place]]
            scales += [
                (place, token, 1.0 - promise.reach.get(child, 0.0))
                for token, child in node.children.items()
            ]
            if node.terminal:
                ended.append(place)
        _scale(p_BV, scales)
        if ended:
            _zero(p_BV, np.array(ended), self.ends_V)


def _first_tokens(prompt: ClozePrompt) -> list[int]:
    return list(prompt.trie.nodes[0].children)


def _reach(promise: Promise, token: int) -> float:
    return promise.reach.get(promise.trie.nodes[0].children[token], 0.0)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return lists as one array, and which of its entries are real."""
    longest = max(1, *(len(row) for row in rows)) if rows else 1
    values = np.zeros((len(rows), longest), dtype=np.int64)
    real = np.zeros((len(rows), longest), dtype=bool)
    for index, row in enumerate(rows):
        values[index, : len(row)] = row
        real[index, : len(row)] = True
    return values, real


def _scale(p_BV: torch.Tensor, factors: Sequence[tuple[int, int, float]]) -> None:
    """Multiply single entries, each named once: (row, token, factor)."""
    if not factors:
        return
    rows, tokens, by = zip(*factors, strict=True)
    at = (torch.tensor(rows, device=p_BV.device), torch.tensor(tokens, device=p_BV.device))
    p_BV[at] = p_BV[at] * torch.tensor(by, dtype=p_BV.dtype, device=p_BV.device)


def _zero(p_BV: torch.Tensor, rows: NDArray[np.int64], tokens_V: torch.Tensor) -> None:
    """Set the given tokens of some rows to 0."""
    where = torch.from_numpy(rows).to(p_BV.device)
    p_BV[where] = p_BV[where].masked_fill(tokens_V, 0.0)
