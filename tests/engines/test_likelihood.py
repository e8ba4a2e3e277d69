"""Log-probabilities of given answers, against one row at a time and against arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sixtyfold.core.models import ModelOptions
from sixtyfold.engines.likelihood import log_probabilities, token_chunks
from sixtyfold.engines.torch_engine import TorchEngine

PROMPTS = [[5, 6, 7], [8], [9, 10], [5, 6, 7, 8, 9]]
ANSWERS = [[11, 12], [13], [14, 15, 16, 17], [18, 19]]


@pytest.fixture
def engine(planted: Path) -> TorchEngine:
    return TorchEngine.load(str(planted), ModelOptions(dtype="float32"))


def by_hand(engine: TorchEngine, prompt: list[int], answer: list[int]) -> float:
    """Run the joined row alone and add up what the model says of the answer's tokens."""
    with torch.inference_mode():
        logits = engine.model(input_ids=torch.tensor([prompt + answer])).logits[0].double()
    logp = torch.log_softmax(logits, dim=-1)
    return sum(float(logp[len(prompt) - 1 + at, token]) for at, token in enumerate(answer))


def test_a_batch_gives_what_each_row_alone_gives(engine: TorchEngine) -> None:
    expected = [by_hand(engine, *row) for row in zip(PROMPTS, ANSWERS, strict=True)]
    assert log_probabilities(engine, PROMPTS, ANSWERS) == pytest.approx(expected, abs=1e-4)
    assert all(each < 0 for each in expected)


def test_answers_of_one_token_need_no_second_pass(engine: TorchEngine) -> None:
    expected = [by_hand(engine, prompt, [11]) for prompt in PROMPTS]
    assert log_probabilities(engine, PROMPTS, [[11]] * 4) == pytest.approx(expected, abs=1e-4)


def test_the_probabilities_of_all_next_tokens_add_up_to_one(engine: TorchEngine) -> None:
    every = range(engine.vocabulary_size)
    found = log_probabilities(engine, [PROMPTS[0]] * len(every), [[token] for token in every])
    assert torch.tensor(found).exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_chunks_stay_within_their_tokens_and_hold_each_row_once() -> None:
    lengths = [3, 100, 20, 20, 20, 7]
    chunks = token_chunks(lengths, 60)
    assert chunks == [[1], [2, 3, 4], [5, 0]]
    assert token_chunks([], 60) == []
