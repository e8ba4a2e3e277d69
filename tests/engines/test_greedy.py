from __future__ import annotations

from typing import Any

import pytest
import torch

from sixtyfold.core.models import ModelOptions
from sixtyfold.engines.greedy import chunks_by_length, cut_answer, greedy
from sixtyfold.engines.torch_engine import TorchEngine
from tiny_models import ARCHITECTURES, tiny_model

PROMPTS = ["It is known that", "The", "Since last year the firm is paid by", "For dinner"]


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_equals_transformers_generate(
    kind: str, tmp_path_factory: pytest.TempPathFactory, planted_tokenizer: Any
) -> None:
    folder = tiny_model(kind, tmp_path_factory.mktemp(kind), planted_tokenizer)
    engine = TorchEngine.load(str(folder), ModelOptions(dtype="float32"))
    prompts = [engine.tokenizer(each)["input_ids"] for each in PROMPTS]
    found = greedy(engine, prompts, 8)
    for ids, answer in zip(prompts, found, strict=True):
        whole = engine.model.generate(
            torch.tensor([ids]),
            max_new_tokens=8,
            do_sample=False,
            pad_token_id=engine.tokenizer.eos_token_id,
        )[0, len(ids) :].tolist()
        wanted = [token for token in whole if token not in engine.stop_ids]
        assert answer.ids == wanted[: len(answer.ids)]
        if len(answer.ids) < len(wanted):  # generate goes on behind the first line
            assert "\n" in engine.text(answer.ids).lstrip()
        assert answer.stopped == (len(whole) < 8 or whole[-1] in engine.stop_ids) or (
            "\n" in engine.text(answer.ids).lstrip()
        )


def test_stops_at_the_end_token_and_at_the_limit(planted: Any) -> None:
    engine = TorchEngine.load(str(planted), ModelOptions(dtype="float32"))
    prompt = engine.tokenizer("It is known that")["input_ids"]
    (short,) = greedy(engine, [prompt], 2)
    assert len(short.ids) == 2
    assert not short.stopped
    (whole,) = greedy(engine, [prompt], 32)
    assert whole.stopped
    assert not set(whole.ids) & engine.stop_ids
    assert engine.text(whole.ids).endswith(".")


def test_order_and_company_of_prompts_change_nothing(planted: Any) -> None:
    engine = TorchEngine.load(str(planted), ModelOptions(dtype="float32"))
    prompts = [engine.tokenizer(each)["input_ids"] for each in PROMPTS]
    together = greedy(engine, prompts, 8)
    assert greedy(engine, prompts[::-1], 8)[::-1] == together
    assert [greedy(engine, [each], 8)[0] for each in prompts] == together


@pytest.mark.parametrize("early", range(len(PROMPTS)))
def test_an_ended_row_that_stays_in_the_batch_changes_nothing(planted: Any, early: int) -> None:
    engine = TorchEngine.load(str(planted), ModelOptions(dtype="float32"))
    prompts = [engine.tokenizer(each)["input_ids"] for each in PROMPTS]
    alone = [greedy(engine, [each], 32)[0] for each in prompts]
    assert len({len(each.ids) for each in alone}) > 1
    # One of ten rows ends at another step than the nine: too few to take out of the batch.
    others = (early + 1) % len(PROMPTS)
    found = greedy(engine, [prompts[early], *[prompts[others]] * 9], 32)
    assert found == [alone[early], *[alone[others]] * 9]


def test_chunks_hold_every_prompt_once() -> None:
    chunks = chunks_by_length([4, 4, 9, 1, 4], 2)
    assert chunks == [[2, 0], [1, 4], [3]]


@pytest.mark.parametrize(
    ("text", "answer"),
    [(" Paris", "Paris"), ("\n\n Rome \nMilan", "Rome"), ("", ""), (" \n ", "")],
)
def test_the_first_line_is_the_answer(text: str, answer: str) -> None:
    assert cut_answer(text) == answer
