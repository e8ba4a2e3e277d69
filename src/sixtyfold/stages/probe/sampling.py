"""Draw continuations of cloze prompts and estimate the probability of a hit.

One prefill per prompt serves all its draws. The rows of a chunk draw token by token together; an
estimator (`estimators/`) may take hits out of the distributions before. Where survival has become
small, Russian roulette ends a path without bias. Work per row is done only where the text may have
reached the end of an answer (`answer_ends.py`), and once per draw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sixtyfold.engines.torch_engine import Batch, TorchEngine
from sixtyfold.engines.vocabulary import Vocabulary
from sixtyfold.stages.probe.answer_ends import watched
from sixtyfold.stages.probe.distribution import Distribution
from sixtyfold.stages.probe.estimators.draws import Draws
from sixtyfold.stages.probe.estimators.survival import Survival
from sixtyfold.stages.probe.paths import ClozePrompt, Paths, choose

ROULETTE = 0.1  # survival below this is played for; it bounds a draw's estimate from below
_SHRINK = 0.8  # taking rows out of a batch copies its cache, so some are taken at once


class Sampling(NamedTuple):
    """How to draw."""

    estimator: Literal["survival", "draws"]
    max_new_tokens: int
    temperature: float
    seed: int


class Estimate(NamedTuple):
    """What a prompt's draws say.

    first_prob: probability that the continuation begins with an accepted answer (a lower bound of
        the hit probability for the enumerated spellings), or None without look-ahead.
    values: one estimate per draw, in the order of their numbers, each unbiased, in [0, 1].
    drawn: tokens sampled by each draw.
    scored: tokens run by each draw to look ahead.
    looked: tokens run to look ahead from the prompt, for all draws together.
    example: text of a draw.
    """

    first_prob: float | None
    values: list[float]
    drawn: list[int]
    scored: list[int]
    looked: int
    example: str

    def then(self, more: Estimate) -> Estimate:
        """Return what these draws and further ones say together."""
        return self._replace(
            values=self.values + more.values,
            drawn=self.drawn + more.drawn,
            scored=self.scored + more.scored,
            looked=self.looked + more.looked,
        )

    @classmethod
    def counted(cls, first_prob: float | None, values: list[float], example: str = "") -> Estimate:
        """Return an estimate whose tokens are not known here."""
        nothing = [0] * len(values)
        return cls(first_prob, values, nothing, nothing, 0, example)

    @property
    def tokens_scored(self) -> int:
        """All tokens run to look ahead."""
        return self.looked + sum(self.scored)

    def part(self, draws: slice) -> Estimate:
        """Return what some of the draws say."""
        return self._replace(
            values=self.values[draws], drawn=self.drawn[draws], scored=self.scored[draws]
        )


def draw_uniforms(
    seed: int, fact_id: str, template_id: int, draw: int, count: int
) -> NDArray[np.float64]:
    """Return the random numbers of one draw; they depend on these keys and nothing else."""
    key = f"{seed}\x1f{fact_id}\x1f{template_id}\x1f{draw}".encode()
    state = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big")
    return np.random.Generator(np.random.Philox(key=state)).random((count, 2))


def sample_prompts(
    engine: TorchEngine,
    prompts: Sequence[ClozePrompt],
    numbers: Sequence[range],
    how: Sampling,
) -> list[Estimate]:
    """Estimate the hit probability of each prompt of one chunk.

    Args:
        engine: the model.
        prompts: prompts of one chunk.
        numbers: which draws each prompt gets; a draw's random numbers follow from its number.
        how: how to draw.
    """
    return _Sampler(engine, prompts, numbers, how).run()


class _Sampler:
    def __init__(
        self,
        engine: TorchEngine,
        prompts: Sequence[ClozePrompt],
        numbers: Sequence[range],
        how: Sampling,
    ) -> None:
        self.engine = engine
        self.prompts = prompts
        self.numbers = numbers
        self.how = how
        self.estimator = (
            Survival(engine, prompts, how.temperature, how.max_new_tokens)
            if how.estimator == "survival"
            else Draws(len(prompts))
        )
        self.stops = np.array(sorted(engine.stop_ids))
        self.only_whole = np.array([prompt.matcher.mode == "strict" for prompt in prompts])
        self.watched, self.fact_of = _watched(engine.vocabulary, prompts)
        self.drawn = [[0] * len(each) for each in numbers]
        self.scored = [[0] * len(each) for each in numbers]
        self.values = [[0.0] * len(each) for each in numbers]
        self.distribution = Distribution(how.temperature)
        self.examples = [""] * len(prompts)

    def run(self) -> list[Estimate]:
        batch = self.engine.prefill([prompt.ids for prompt in self.prompts])
        self.estimator.begin(batch, self.distribution(batch.logits_BV))
        paths = self._paths()
        if len(paths) != len(self.prompts) or (np.diff(paths.prompt_B) != 1).any():
            batch = batch.fork(torch.from_numpy(paths.prompt_B))
        self._walk(batch, paths)
        return [
            Estimate(
                self.estimator.first_probs[index],
                self.values[index],
                self.drawn[index],
                self.scored[index],
                int(self.estimator.looked[index]),
                self.examples[index],
            )
            for index in range(len(self.prompts))
        ]

    def _paths(self) -> Paths:
        keys = [
            (index, place, number)
            for index, numbers in enumerate(self.numbers)
            for place, number in enumerate(numbers)
        ]
        uniforms = [
            draw_uniforms(
                self.how.seed,
                self.prompts[index].fact_id,
                self.prompts[index].template_id,
                number,
                self.how.max_new_tokens,
            )
            for index, _, number in keys
        ]
        return Paths.start(
            np.array([index for index, _, _ in keys], dtype=np.int64),
            np.array([place for _, place, _ in keys], dtype=np.int64),
            np.array(uniforms),
        )

    def _walk(self, batch: Batch, paths: Paths) -> None:
        """Draw all rows to their end; rows that have ended leave the batch a few at a time."""
        for step in range(self.how.max_new_tokens):
            p_BV = self.distribution(batch.logits_BV)
            self.estimator.remove(batch, p_BV, paths, step)
            tokens_B = choose(p_BV, paths.uniforms_BN2[:, step, 0])
            self._advance(paths, tokens_B.cpu().numpy(), step)
            keep = np.flatnonzero(~paths.over_B)
            if not len(keep):
                return
            if len(keep) <= _SHRINK * len(paths):
                where = torch.from_numpy(keep).to(tokens_B.device)
                batch, tokens_B, paths = batch.fork(where), tokens_B[where], paths.take(keep)
            batch.step(tokens_B)

    def _advance(self, paths: Paths, tokens_B: NDArray[np.int64], step: int) -> None:
        """Append a token to each row and settle the rows that end with it."""
        alive = ~paths.over_B
        paths.ids_BN[:, step] = tokens_B
        self.estimator.follow(paths, tokens_B)
        last = np.isin(tokens_B, self.stops)
        if step == self.how.max_new_tokens - 1:
            last[:] = True
        self._read(paths, tokens_B, alive, last, step)
        self._play(paths, alive & ~last, step)
        ended = alive & (last | (paths.survival_B == 0.0))
        paths.over_B |= ended
        for place in np.flatnonzero(ended).tolist():
            prompt = paths.prompt_B[place]
            number = paths.number_B[place]
            self.values[prompt][number] = 1.0 - float(paths.survival_B[place])
            self.drawn[prompt][number] = step + 1
            self.scored[prompt][number] = int(paths.scored_B[place])
            if not self.examples[prompt]:
                self.examples[prompt] = self._text(paths, place, step)

    def _read(
        self,
        paths: Paths,
        tokens_B: NDArray[np.int64],
        alive: NDArray[np.bool_],
        last: NDArray[np.bool_],
        step: int,
    ) -> None:
        """Read the texts that may be hits or end with an answer now."""
        may_end = self.watched[self.fact_of[paths.prompt_B], tokens_B]
        changed = may_end | paths.pending_B | (last & self.only_whole[paths.prompt_B])
        paths.pending_B[:] = False
        for place in np.flatnonzero(alive & changed).tolist():
            matcher = self.prompts[paths.prompt_B[place]].matcher
            text = self._text(paths, place, step)
            if matcher.confirmed(text) or (last[place] and matcher.hit(text)):
                paths.survival_B[place] = 0.0
            else:
                paths.pending_B[place] = matcher.pending(text)

    def _play(self, paths: Paths, going: NDArray[np.bool_], step: int) -> None:
        """End paths of small survival by Russian roulette."""
        played = going & (paths.survival_B > 0.0) & (paths.survival_B < ROULETTE)
        stays = paths.uniforms_BN2[:, step, 1] * ROULETTE < paths.survival_B
        paths.survival_B[played] = np.where(stays[played], ROULETTE, 0.0)

    def _text(self, paths: Paths, place: int, step: int) -> str:
        return self.engine.text(paths.ids_BN[place, : step + 1].tolist())


def _watched(
    words: Vocabulary, prompts: Sequence[ClozePrompt]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the watched tokens of each fact, and each prompt's fact."""
    rows: dict[int, int] = {}
    tables: list[NDArray[np.bool_]] = []
    for prompt in prompts:
        if id(prompt.matcher) not in rows:
            rows[id(prompt.matcher)] = len(tables)
            tables.append(watched(words, prompt.matcher))
    return np.array(tables), np.array([rows[id(prompt.matcher)] for prompt in prompts])
