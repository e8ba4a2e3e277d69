from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from sixtyfold.core.models import ModelOptions
from sixtyfold.engines import top_k
from sixtyfold.engines.greedy import first_line_ended, greedy
from sixtyfold.engines.top_k import Answers, TopK, answer_and_sample, choose, top_k_candidates
from sixtyfold.engines.torch_engine import TorchEngine
from tiny_models import tiny_model
from toy_chain import toy_engine

TEMPERATURE = 0.5
PROMPTS = ["It is known that", "The", "Since last year the firm is paid by", "For dinner"]


@pytest.fixture(scope="module")
def engine(planted: Any) -> TorchEngine:
    return TorchEngine.load(str(planted), ModelOptions(dtype="float32"))


def uniforms(prompts: int, draws: int, length: int, seed: int = 1) -> list[NDArray[np.float64]]:
    return list(np.random.default_rng(seed).random((prompts, draws, length)))


def top_k_softmax(logits_V: torch.Tensor, temperature: float, k: int) -> NDArray[np.float64]:
    """Probabilities of all tokens, written apart from the code under test."""
    logits = logits_V.double().numpy() / temperature
    kept = np.argsort(-logits, kind="stable")[:k]
    p = np.zeros(len(logits))
    p[kept] = np.exp(logits[kept] - logits.max())
    return np.asarray(p / p.sum())


@pytest.mark.parametrize("k", [1, 5, 11, 40])
def test_frequencies_are_the_softmax_of_the_top_k(k: int) -> None:
    torch.manual_seed(0)
    logits_BV = torch.randn(3, 30) * 0.8
    candidates = top_k_candidates(logits_BV, TEMPERATURE, k)
    draws = 20_000
    for row in range(3):
        numbers = np.random.default_rng(row).random(draws)
        seen = np.bincount(choose(candidates, [row] * draws, numbers), minlength=30)
        p = top_k_softmax(logits_BV[row], TEMPERATURE, k)
        assert seen[p == 0].sum() == 0
        assert np.count_nonzero(p) == min(k, 30)
        expected = p[p > 0] * draws
        assert k == 1 or stats.chisquare(seen[p > 0], expected).pvalue > 1e-3


def test_sampled_texts_follow_the_chain() -> None:
    """Three tokens deep, every text of the tree against the product of its tokens' shares."""
    engine, k, draws = toy_engine(seed=0, sharpness=0.3), 3, 6000
    (found,) = answer_and_sample(engine, [[1, 8]], uniforms(1, draws, 3), TopK(TEMPERATURE, k, 3))
    texts: dict[tuple[int, ...], float] = {}

    def walk(path: tuple[int, ...], reached: float) -> None:
        if len(path) == 3 or (path and path[-1] in engine.stop_ids):
            texts[path] = reached
            return
        logits = engine.prefill([[1, 8, *path]]).logits_BV[0]
        p = top_k_softmax(logits, TEMPERATURE, k)
        for token in np.flatnonzero(p):
            walk((*path, int(token)), reached * p[token])

    walk((), 1.0)
    end = next(iter(engine.stop_ids))
    said = [(*each.ids, *([end] if each.stopped else [])) for each in found.sampled]
    seen = np.array([said.count(path) for path in texts])
    assert seen.sum() == draws
    assert stats.chisquare(seen, np.array(list(texts.values())) * draws).pvalue > 1e-3


def test_of_equal_logits_at_the_border_the_lowest_numbers_stay() -> None:
    logits_BV = torch.tensor([[1.0, 5.0, 1.0, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    found = top_k_candidates(logits_BV, 1.0, 3)
    assert found.ids.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert found.cumulative[1].tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])


def test_a_token_without_probability_is_never_drawn() -> None:
    logits_BV = torch.tensor([[-4000.0, 0.0, -4000.0, 0.0, -torch.inf]])
    candidates = top_k_candidates(logits_BV, 0.5, 40)
    ends = np.array([0.0, np.nextafter(0.5, 0), 0.5, np.nextafter(1.0, 0)])
    assert choose(candidates, [0] * 4, ends) == [1, 1, 3, 3]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_greedy_answer_is_that_of_greedy(
    kind: str, tmp_path_factory: pytest.TempPathFactory, planted_tokenizer: Any
) -> None:
    folder = tiny_model(kind, tmp_path_factory.mktemp(kind), planted_tokenizer)
    engine = TorchEngine.load(str(folder), ModelOptions(dtype="float32"))
    prompts = [engine.tokenizer(each)["input_ids"] for each in PROMPTS]
    found = answer_and_sample(engine, prompts, uniforms(4, 5, 8), TopK(TEMPERATURE, 40, 8))
    assert [each.greedy for each in found] == greedy(engine, prompts, 8)
    alone = answer_and_sample(engine, prompts, uniforms(4, 0, 8), TopK(TEMPERATURE, 40, 8))
    assert alone == [Answers(each.greedy, []) for each in found]


def test_with_k_of_one_every_sample_is_greedy(engine: TorchEngine) -> None:
    prompts = [engine.tokenizer(each)["input_ids"] for each in PROMPTS]
    for each in answer_and_sample(engine, prompts, uniforms(4, 6, 8), TopK(2.0, 1, 8)):
        assert each.sampled == [each.greedy] * 6


def test_order_company_and_number_of_draws_change_nothing(engine: TorchEngine) -> None:
    prompts = [engine.tokenizer(each)["input_ids"] for each in PROMPTS]
    numbers, how = uniforms(4, 6, 10), TopK(1.0, 40, 10)
    together = answer_and_sample(engine, prompts, numbers, how)
    assert len({tuple(each.ids) for each in together[0].sampled}) > 1
    assert answer_and_sample(engine, prompts[::-1], numbers[::-1], how)[::-1] == together
    for prompt, of_prompt, wanted in zip(prompts, numbers, together, strict=True):
        assert answer_and_sample(engine, [prompt], [of_prompt], how) == [wanted]
        for draw in range(6):
            (alone,) = answer_and_sample(engine, [prompt], [of_prompt[draw : draw + 1]], how)
            assert alone == (wanted.greedy, [wanted.sampled[draw]])


def test_draws_that_say_the_same_share_a_row(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    grow = top_k._grow

    def counted(texts: Any, *others: Any) -> Any:
        rows.append(len(texts))
        return grow(texts, *others)

    monkeypatch.setattr(top_k, "_grow", counted)
    prompt = engine.tokenizer(PROMPTS[0])["input_ids"]
    same = np.repeat(uniforms(1, 1, 6)[0], 16, axis=0)
    (found,) = answer_and_sample(engine, [prompt], [same], TopK(TEMPERATURE, 40, 6))
    assert max(rows) <= 2  # the samples and the greedy answer
    assert len({tuple(each.ids) for each in found.sampled}) == 1


def test_answers_end_at_the_end_token_the_first_line_and_the_limit(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = engine.tokenizer(PROMPTS[0])["input_ids"]
    how = TopK(TEMPERATURE, 40, 32)
    (whole,) = answer_and_sample(engine, [prompt], uniforms(1, 4, 32), how)
    for each in (whole.greedy, *whole.sampled):
        assert each.stopped
        assert not set(each.ids) & engine.stop_ids
    (short,) = answer_and_sample(
        engine, [prompt], uniforms(1, 4, 32), how._replace(max_new_tokens=2)
    )
    for each, longer in zip(short.sampled, whole.sampled, strict=True):
        assert each.ids == longer.ids[:2]
        assert not each.stopped
    text = engine.text
    monkeypatch.setattr(engine, "text", lambda ids: text(ids).replace(" ", "\n"))
    (lines,) = answer_and_sample(engine, [prompt], uniforms(1, 4, 32), how)
    for each, longer in zip(lines.sampled, whole.sampled, strict=True):
        assert each.stopped
        assert each.ids == longer.ids[: len(each.ids)]
        assert first_line_ended(engine.text(each.ids))
        assert not first_line_ended(engine.text(each.ids[:-1]))
