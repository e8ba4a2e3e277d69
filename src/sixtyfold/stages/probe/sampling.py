"""Draw continuations of cloze prompts and estimate the probability of a hit.

`survival` (design §6). Along a path that is drawn with hits forbidden, let h_t be the probability,
given the path so far, of the hit events removed at step t. Then 1 − Π(1 − h_t) is an unbiased
estimate of the hit probability, in [0, 1], with no more variance than a plain draw. Removed are

  1. by look-ahead, whole accepted spellings from their first token (where it has noticeable mass),
  2. at a text that ends with an answer, the tokens that end its word,
  3. whatever else turns out to be a hit when it is drawn: then the survival becomes 0.

Events 1 and 2 never overlap: inside a branch whose mass was removed by 1, what is left of its
tokens is drawn, and the word ends removed by 1 are forbidden without being counted again.
Where survival has become small, Russian roulette ends the path without bias.

`draws` is the same loop with nothing removed: each draw is 0 or 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sixtyfold.core.matching import Matcher
from sixtyfold.engines.torch_engine import Batch, TorchEngine
from sixtyfold.stages.probe.lookahead import Ask, Promise, look_ahead
from sixtyfold.stages.probe.trie import Trie

_FIRST_LOOK = 1e-4  # at the first token nearly everything is looked at: it is the pilot
_LATER_LOOK = 0.02
ROULETTE = 0.1  # survival below this is played for; it bounds a draw's estimate from below
_SHRINK = 0.8  # taking rows out of a batch copies its cache, so some are taken at once


class ClozePrompt(NamedTuple):
    """One template filled with one fact."""

    fact_id: str
    template_id: int
    ids: list[int]
    matcher: Matcher
    trie: Trie


class Sampling(NamedTuple):
    """How to draw."""

    estimator: Literal["survival", "draws"]
    draws: int
    max_new_tokens: int
    temperature: float
    seed: int


class Estimate(NamedTuple):
    """What a prompt's draws say.

    first_prob: probability that the continuation begins with an accepted answer (a lower bound of
        the hit probability for the enumerated spellings), or None without look-ahead.
    values: one estimate per draw, each unbiased, in [0, 1].
    """

    first_prob: float | None
    values: list[float]
    tokens_scored: int
    tokens_drawn: int
    example: str


@dataclass
class _Row:
    """One draw on its way."""

    prompt: int
    uniforms: NDArray[np.float64]
    survival: float = 1.0
    ids: list[int] = field(default_factory=list)
    text: str = ""
    promise: Promise | None = None
    node: int = 0
    over: bool = False


def draw_uniforms(
    seed: int, fact_id: str, template_id: int, draw: int, count: int
) -> NDArray[np.float64]:
    """Return the random numbers of one draw; they depend on these keys and nothing else."""
    key = f"{seed}\x1f{fact_id}\x1f{template_id}\x1f{draw}".encode()
    state = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big")
    return np.random.Generator(np.random.Philox(key=state)).random((count, 2))


def sample_prompts(
    engine: TorchEngine, prompts: Sequence[ClozePrompt], how: Sampling
) -> list[Estimate]:
    """Estimate the hit probability of each prompt of one chunk."""
    return _Sampler(engine, prompts, how).run()


class _Sampler:
    def __init__(self, engine: TorchEngine, prompts: Sequence[ClozePrompt], how: Sampling) -> None:
        self.engine = engine
        self.prompts = prompts
        self.how = how
        self.ends_word = torch.from_numpy(engine.vocabulary.ends_word).to(engine.device)
        self.ends_float = self.ends_word.float()
        self.scored = [0] * len(prompts)
        self.drawn = [0] * len(prompts)
        self.values: list[list[float]] = [[] for _ in prompts]
        self.examples = [""] * len(prompts)

    def run(self) -> list[Estimate]:
        batch = self.engine.prefill([prompt.ids for prompt in self.prompts])
        first: list[dict[int, Promise]] = [{} for _ in self.prompts]
        if self.how.estimator == "survival":
            p = torch.softmax(batch.logits_BV / self.how.temperature, -1)
            wanted = [(row, prompt) for row, prompt in enumerate(range(len(self.prompts)))]
            for (prompt, token), promise in self._look(batch, p, wanted, _FIRST_LOOK, 0).items():
                first[prompt][token] = promise
            sure = self._first_probabilities(p, first)
        else:
            sure = [None] * len(self.prompts)
        rows = [
            _Row(index, self._uniforms(index, draw))
            for index in range(len(self.prompts))
            for draw in range(self.how.draws)
        ]
        if self.how.draws > 1:
            batch = batch.fork([row.prompt for row in rows])
        self._walk(batch, rows, first)
        return [
            Estimate(sure[i], self.values[i], self.scored[i], self.drawn[i], self.examples[i])
            for i in range(len(self.prompts))
        ]

    def _uniforms(self, index: int, draw: int) -> NDArray[np.float64]:
        prompt = self.prompts[index]
        return draw_uniforms(
            self.how.seed, prompt.fact_id, prompt.template_id, draw, self.how.max_new_tokens
        )

    def _first_probabilities(
        self, p: torch.Tensor, first: Sequence[dict[int, Promise]]
    ) -> list[float | None]:
        found: list[float | None] = []
        for row, promises in enumerate(first):
            if not _removable(self.prompts[row].matcher):
                found.append(None)
                continue
            total = sum(float(p[row, t]) * _reach(promise, t) for t, promise in promises.items())
            found.append(min(1.0, total))
        return found

    def _walk(self, batch: Batch, rows: list[_Row], first: list[dict[int, Promise]]) -> None:
        """Draw all rows to their end; rows that have ended leave the batch a few at a time."""
        for step in range(self.how.max_new_tokens):
            p = torch.softmax(batch.logits_BV / self.how.temperature, -1)
            promised: dict[tuple[int, int], Promise] = {}
            if self.how.estimator == "survival":
                promised = self._remove(batch, p, rows, step, first if step == 0 else None)
            tokens = self._choose(p, rows, step)
            for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
                if not row.over:
                    self._advance(row, token, promised.get((place, token)))
                    row.over = self._settle(row, token, step)
            keep = [place for place, row in enumerate(rows) if not row.over]
            if not keep:
                return
            if len(keep) <= _SHRINK * len(rows):
                batch = batch.fork(keep)
                tokens = tokens[torch.as_tensor(keep, device=tokens.device)]
                rows = [rows[place] for place in keep]
            batch.step(tokens)

    def _remove(
        self,
        batch: Batch,
        p: torch.Tensor,
        rows: list[_Row],
        step: int,
        first: list[dict[int, Promise]] | None,
    ) -> dict[tuple[int, int], Promise]:
        """Take hit events out of `p` in place and multiply each row's survival.

        Returns:
            the promises of this step by (place in the batch, first token).
        """
        alive = [(place, row) for place, row in enumerate(rows) if not row.over]
        for place, row in alive:
            self._forbid_promised(p, place, row)
        left = p.sum(1)
        for place, row in alive:
            matcher = self.prompts[row.prompt].matcher
            if row.ids and _removable(matcher) and matcher.pending(row.text):
                p[place, self.ends_word] = 0.0
        if first is not None:
            found = {
                (place, token): promise
                for place, row in enumerate(rows)
                for token, promise in first[row.prompt].items()
            }
        else:
            wanted = [
                (place, row.prompt)
                for place, row in alive
                if row.promise is None and self.prompts[row.prompt].matcher.counts_behind(row.text)
            ]
            found = self._look(batch, p, wanted, _LATER_LOOK, step)
        for (place, token), promise in found.items():
            p[place, token] *= 1.0 - _reach(promise, token)
        share = (p.sum(1) / left.clamp(min=1e-30)).clamp(0.0, 1.0).tolist()
        for place, row in alive:
            row.survival *= share[place]
        return found

    def _forbid_promised(self, p: torch.Tensor, place: int, row: _Row) -> None:
        """Forbid, inside a branch, what was already counted when the branch was removed."""
        if row.promise is None:
            return
        trie, reach = row.promise
        node = trie.nodes[row.node]
        for token, child in node.children.items():
            p[place, token] *= 1.0 - reach.get(child, 0.0)
        if node.terminal:
            p[place, self.ends_word] = 0.0

    def _look(
        self,
        batch: Batch,
        p: torch.Tensor,
        wanted: list[tuple[int, int]],
        noticeable: float,
        step: int,
    ) -> dict[tuple[int, int], Promise]:
        """Look ahead for every (place, prompt) at the first tokens that have noticeable mass."""
        candidates = [
            (place, prompt, token)
            for place, prompt in wanted
            if _removable(self.prompts[prompt].matcher)
            for token in self.prompts[prompt].trie.nodes[0].children
        ]
        if not candidates:
            return {}
        index = torch.tensor([[c[0], c[2]] for c in candidates], device=p.device)
        masses = p[index[:, 0], index[:, 1]].tolist()
        asked = [c for c, mass in zip(candidates, masses, strict=True) if mass > noticeable]
        asks = [Ask(place, self.prompts[prompt].trie, token) for place, prompt, token in asked]
        boundaries = any(self.prompts[prompt].matcher.on_boundaries for _, prompt, _ in asked)
        promises, _ = look_ahead(
            batch,
            asks,
            self.ends_float if boundaries else None,
            self.how.temperature,
            self.how.max_new_tokens - step,
        )
        for _, prompt, token in asked:
            self.scored[prompt] += sum(map(len, self.prompts[prompt].trie.leaves(token, 1 << 30)))
        return {
            (place, token): promise
            for (place, _, token), promise in zip(asked, promises, strict=True)
        }

    def _choose(self, p: torch.Tensor, rows: list[_Row], step: int) -> torch.Tensor:
        """Draw one token per row by inverting its cumulative distribution."""
        cumulative = p.cumsum(1)
        u = torch.tensor([row.uniforms[step, 0] for row in rows], device=p.device)
        total = cumulative[:, -1]
        # Rounding must not carry the target past the last token that may still be drawn.
        target = torch.minimum(u.float() * total, torch.nextafter(total, torch.zeros_like(total)))
        tokens = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]
        return tokens.clamp(max=p.shape[1] - 1)

    def _advance(self, row: _Row, token: int, promise: Promise | None) -> None:
        self.drawn[row.prompt] += 1
        row.ids.append(token)
        row.text = self.engine.text(row.ids)
        if promise is not None:
            row.promise, row.node = promise, promise.trie.nodes[0].children[token]
        elif row.promise is not None:
            child = row.promise.trie.nodes[row.node].children.get(token)
            row.promise, row.node = (row.promise, child) if child else (None, 0)

    def _settle(self, row: _Row, token: int, step: int) -> bool:
        """Settle a row that has ended; say whether it has."""
        matcher = self.prompts[row.prompt].matcher
        last = token in self.engine.stop_ids or step == self.how.max_new_tokens - 1
        if matcher.confirmed(row.text) or (last and matcher.hit(row.text)):
            row.survival = 0.0
        elif not last and row.survival < ROULETTE:
            if row.uniforms[step, 1] * ROULETTE < row.survival:
                row.survival = ROULETTE
            else:
                row.survival = 0.0
        if last or row.survival == 0.0:
            self.values[row.prompt].append(1.0 - row.survival)
            self.examples[row.prompt] = self.examples[row.prompt] or row.text
            return True
        return False


def _removable(matcher: Matcher) -> bool:
    """Whether a spelled answer is a hit whatever follows its word."""
    return matcher.mode != "strict" and not matcher.copies_subject


def _reach(promise: Promise, token: int) -> float:
    return promise.reach.get(promise.trie.nodes[0].children[token], 0.0)
