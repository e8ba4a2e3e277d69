"""The estimators against an exact enumeration of every continuation of a small random model.

The random numbers of the draws are replaced by points of a Sobol sequence. An estimator that is
unbiased then comes far closer to the truth than with random numbers, and a small bias shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import qmc

from sixtyfold.core.matching import MatchMode, matcher
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.stages.probe import sampling
from sixtyfold.stages.probe.paths import ClozePrompt
from sixtyfold.stages.probe.prompts import answer_trie
from sixtyfold.stages.probe.sampling import (
    Estimate,
    Sampling,
    draw_uniforms,
    sample_prompts,
)
from toy_chain import TOKENS, chain_engine, exact_hit_probability, toy_engine

TEMPERATURE = 0.7
PROMPT = [1, 8]
DRAWS = 2048
CASES: list[tuple[MatchMode, list[str], str]] = [
    ("standard", ["New York"], "x"),
    ("standard", ["New", "New York", "New York City"], "x"),
    ("standard", ["New York City", "York"], "x"),
    ("standard", ["New", "Newer", "Newer York"], "x"),
    ("standard", ["of York", "of York,"], "x"),
    ("standard", ["York"], "New York City"),
    ("standard", ["York"], "York City"),
    ("standard", ["York"], "York"),
    ("standard", ["York", "City"], "York"),
    ("standard", ["York"], "of York"),
    ("standard", ["York", "New York"], "of the York"),
    ("standard", ["City"], "York City, New"),
    ("standard", ["York"], "er York New"),
    ("paper", ["New York"], "x"),
    ("paper", ["York", "New York"], "x"),
    ("strict", ["York"], "x"),
    ("loose", ["the York"], "x"),
    ("loose", ["New York,"], "x"),
    # "New York" and "New City" are other names, so behind " New" neither may be counted.
    ("standard", ["York", "City"], "x"),
    ("loose", ["York", "City"], "x"),
]
NAMES = [f"{mode}-{'/'.join(objects)}-{subject}" for mode, objects, subject in CASES]


@pytest.fixture(scope="module")
def engine() -> TorchEngine:
    return toy_engine(seed=0, sharpness=0.3)


def sobol(length: int) -> Callable[..., NDArray[np.float64]]:
    points = qmc.Sobol(2 * length, seed=3).random(DRAWS).reshape(DRAWS, length, 2)
    return lambda seed, fact_id, template_id, draw, count: points[draw]


def prompt_of(
    engine: TorchEngine, mode: MatchMode, objects: list[str], subject: str, name: str = "fact"
) -> ClozePrompt:
    hits = matcher(mode, objects, subject)
    trie = answer_trie(objects, engine.tokenizer, engine.vocabulary, hits)
    return ClozePrompt(name, 0, PROMPT, hits, trie)


def estimate(
    engine: TorchEngine,
    prompt: ClozePrompt,
    length: int,
    estimator: Literal["survival", "draws"] = "survival",
    draws: int = DRAWS,
) -> Estimate:
    how = Sampling(estimator, length, TEMPERATURE, seed=0)
    return sample_prompts(engine, [prompt], [range(draws)], how)[0]


@pytest.mark.parametrize("length", [1, 2, 4])
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_survival_is_unbiased(
    engine: TorchEngine,
    case: tuple[MatchMode, list[str], str],
    length: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "draw_uniforms", sobol(length))
    prompt = prompt_of(engine, *case)
    truth = exact_hit_probability(engine, PROMPT, prompt.matcher, length, TEMPERATURE)
    values = np.array(estimate(engine, prompt, length).values)
    assert len(values) == DRAWS
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.mean() == pytest.approx(truth, abs=0.004 if length < 4 else 0.012)


class Forced:
    """Walks every continuation once and notes how probable the restricted drawing made it."""

    def __init__(self, patch: pytest.MonkeyPatch, size: int, length: int) -> None:
        self.paths = np.array(list(itertools.product(range(size), repeat=length)))
        self.chances = np.ones(self.paths.shape)
        self.step = 0
        patch.setattr(sampling, "ROULETTE", 0.0)
        patch.setattr(sampling, "draw_uniforms", self.name_the_path)
        patch.setattr(sampling, "choose", self.follow_the_path)

    def name_the_path(self, *key: Any) -> NDArray[np.float64]:
        draw, count = key[3:]
        return np.full((count, 2), float(draw))

    def follow_the_path(self, p_BV: Any, names_B: NDArray[np.float64]) -> torch.Tensor:
        rows = names_B.astype(int)
        tokens = self.paths[rows, self.step]
        p = p_BV.double().numpy()
        mass = np.maximum(p.sum(1), 1e-300)
        self.chances[rows, self.step] = p[np.arange(len(rows)), tokens] / mass
        self.step += 1
        return torch.from_numpy(tokens)

    def weights(self, found: Estimate, size: int) -> NDArray[np.float64]:
        """Chance of each path; one that ended early stands for all that begin alike."""
        steps = np.arange(self.paths.shape[1])
        reached = steps[None, :] < np.array(found.drawn)[:, None]
        return np.where(reached, self.chances, 1.0 / size).prod(1)


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_expectation_is_exactly_the_hit_probability(
    engine: TorchEngine,
    case: tuple[MatchMode, list[str], str],
    length: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt = prompt_of(engine, *case)
    truth = exact_hit_probability(engine, PROMPT, prompt.matcher, length, TEMPERATURE)
    forced = Forced(monkeypatch, len(TOKENS), length)
    found = estimate(engine, prompt, length, draws=len(forced.paths))
    weights, values = forced.weights(found, len(TOKENS)), np.array(found.values)
    assert weights.sum() == pytest.approx(1.0, abs=1e-5)
    mean = weights @ values
    assert mean == pytest.approx(truth, abs=2e-6)
    assert weights @ values**2 - mean**2 <= truth * (1 - truth) + 2e-6


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_survival_varies_no_more_than_plain_draws(
    engine: TorchEngine, case: tuple[MatchMode, list[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "draw_uniforms", sobol(4))
    prompt = prompt_of(engine, *case)
    truth = exact_hit_probability(engine, PROMPT, prompt.matcher, 4, TEMPERATURE)
    assert np.var(estimate(engine, prompt, 4).values) <= truth * (1 - truth) + 0.002


@pytest.mark.parametrize(
    ("answer", "chain"),
    [
        ("New York", {" the": {" New": 0.3}, " New": {" York": 0.97}}),
        (
            "New York City",
            {" the": {" New": 0.3}, " New": {" York": 0.97}, " York": {" City": 0.97}},
        ),
    ],
    ids=["two tokens", "three tokens"],
)
def test_answers_whose_first_token_settles_the_rest_vary_four_times_less(
    answer: str, chain: dict[str, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the answer a word ends nearly always; later answers are rare."""
    last = answer.rsplit(maxsplit=1)[-1]
    chain = {**chain, f" {last}": {",": 0.9}, ",": {" of": 0.95}, " of": {",": 0.95}}
    engine = chain_engine(chain, TEMPERATURE)
    monkeypatch.setattr(sampling, "draw_uniforms", sobol(5))
    prompt = prompt_of(engine, "standard", [answer], "x")
    truth = exact_hit_probability(engine, PROMPT, prompt.matcher, 5, TEMPERATURE)
    values = np.array(estimate(engine, prompt, 5).values)
    assert 0.2 < truth < 0.5
    assert values.mean() == pytest.approx(truth, abs=0.006)
    assert np.var(values) <= truth * (1 - truth) / 4


@pytest.mark.parametrize("case", [CASES[1], CASES[6], CASES[8], CASES[9]])
def test_plain_draws_are_unbiased(
    engine: TorchEngine, case: tuple[MatchMode, list[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "draw_uniforms", sobol(3))
    prompt = prompt_of(engine, *case)
    truth = exact_hit_probability(engine, PROMPT, prompt.matcher, 3, TEMPERATURE)
    found = estimate(engine, prompt, 3, "draws")
    assert set(found.values) <= {0.0, 1.0}
    assert found.first_prob is None
    assert np.mean(found.values) == pytest.approx(truth, abs=0.006)


def test_a_certain_answer_of_several_tokens_is_settled_by_look_ahead(engine: TorchEngine) -> None:
    """Where nothing but the spelling can be a hit, every draw gives the exact probability."""
    prompt = prompt_of(engine, "paper", ["New York"], "x")
    truth = exact_hit_probability(engine, PROMPT, prompt.matcher, 2, TEMPERATURE)
    found = estimate(engine, prompt, 2, draws=20)
    assert found.first_prob == pytest.approx(truth, rel=1e-4)
    assert found.values == pytest.approx([truth] * 20, rel=1e-4)


def test_first_probability_is_a_lower_bound(engine: TorchEngine) -> None:
    for mode, objects, subject in CASES:
        prompt = prompt_of(engine, mode, objects, subject)
        found = estimate(engine, prompt, 4, draws=4)
        if mode == "strict" or subject == "York City":  # "York" stands in it as itself
            assert found.first_prob is None  # no look-ahead
        else:
            truth = exact_hit_probability(engine, PROMPT, prompt.matcher, 4, TEMPERATURE)
            assert found.first_prob is not None
            assert found.first_prob <= truth + 1e-6


def test_draws_depend_on_their_keys_alone(engine: TorchEngine) -> None:
    prompts = [
        prompt_of(engine, mode, objects, subject, name)
        for (mode, objects, subject), name in zip(CASES, NAMES, strict=True)
        if mode == "standard"
    ]
    how = Sampling("survival", 4, TEMPERATURE, seed=5)
    numbers = [range(3)] * len(prompts)
    together = sample_prompts(engine, prompts, numbers, how)
    turned = sample_prompts(engine, prompts[::-1], numbers, how)[::-1]
    alone = [sample_prompts(engine, [each], numbers[:1], how)[0] for each in prompts]
    for one, two, three in zip(together, turned, alone, strict=True):
        assert one.values == pytest.approx(two.values, abs=1e-5)
        assert one.values == pytest.approx(three.values, abs=1e-5)


def test_every_draw_has_random_numbers_of_its_own() -> None:
    streams = {
        draw_uniforms(*key, 4).tobytes()
        for key in [(0, "a", 0, 0), (1, "a", 0, 0), (0, "b", 0, 0), (0, "a", 1, 0), (0, "a", 0, 1)]
    }
    assert len(streams) == 5
    longer = draw_uniforms(0, "a", 0, 0, 8)
    assert (longer[:4] == draw_uniforms(0, "a", 0, 0, 4)).all()
