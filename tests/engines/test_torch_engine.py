from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sixtyfold.core.models import ModelOptions
from sixtyfold.engines import torch_engine
from sixtyfold.engines.torch_engine import TorchEngine
from tiny_models import ARCHITECTURES, tiny_model

PROMPTS = [
    "It is known that",
    "The dish",
    "Since last year the firm that hired the parents is paid by",
    "a",
]
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def engine(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    planted_tokenizer: Any,
) -> TorchEngine:
    folder = tiny_model(request.param, tmp_path_factory.mktemp(request.param), planted_tokenizer)
    return TorchEngine.load(str(folder), ModelOptions(dtype="float32"))


def ids_of(engine: TorchEngine, texts: list[str]) -> list[list[int]]:
    return [engine.tokenizer(each)["input_ids"] for each in texts]


@torch.no_grad()
def fresh(engine: TorchEngine, ids: list[int]) -> torch.Tensor:
    """Logits of a forward pass without batch, padding and cache, [L, V]."""
    return engine.model(torch.tensor([ids]), use_cache=False).logits[0].float()


def test_prefill_of_padded_rows_equals_single_passes(engine: TorchEngine) -> None:
    prompts = ids_of(engine, PROMPTS)
    batch = engine.prefill(prompts)
    assert len({len(each) for each in prompts}) > 2
    for row, ids in enumerate(prompts):
        torch.testing.assert_close(batch.logits_BV[row], fresh(engine, ids)[-1], **CLOSE)


def test_steps_after_a_fork_equal_single_passes(engine: TorchEngine) -> None:
    prompts = ids_of(engine, PROMPTS)
    batch = engine.prefill(prompts)
    branch = batch.fork([2, 0, 2])
    rows = [list(prompts[2]), list(prompts[0]), list(prompts[2])]
    for tokens in ([5, 70, 90], [33, 12, 34]):
        branch.step(torch.tensor(tokens))
        for row, token in zip(rows, tokens, strict=True):
            row.append(token)
    for place, ids in enumerate(rows):
        torch.testing.assert_close(branch.logits_BV[place], fresh(engine, ids)[-1], **CLOSE)


def test_a_fork_leaves_its_origin_as_it_was(engine: TorchEngine) -> None:
    prompts = ids_of(engine, PROMPTS)
    batch = engine.prefill(prompts)
    batch.fork([1, 3]).step(torch.tensor([7, 8]))
    batch.fork([0, 0]).extend([[1, 2, 3], [4]])
    batch.step(torch.tensor([40, 41, 42, 43]))
    for row, ids in enumerate(prompts):
        torch.testing.assert_close(
            batch.logits_BV[row], fresh(engine, [*ids, 40 + row])[-1], **CLOSE
        )


def test_extend_equals_single_passes(engine: TorchEngine) -> None:
    prompts = ids_of(engine, PROMPTS)
    added = [[60, 61, 62], [63], [64, 65]]
    logits = engine.prefill(prompts).fork([0, 2, 3]).extend(added)
    for place, (row, more) in enumerate(zip([0, 2, 3], added, strict=True)):
        wanted = fresh(engine, [*prompts[row], *more])[-len(more) :]
        torch.testing.assert_close(logits[place, : len(more)], wanted, **CLOSE)


def test_numbers_of_a_row_do_not_depend_on_its_neighbours(engine: TorchEngine) -> None:
    prompts = ids_of(engine, PROMPTS)
    together = engine.prefill(prompts).logits_BV
    turned = engine.prefill(prompts[::-1]).logits_BV.flip(0)
    torch.testing.assert_close(together, turned, **CLOSE)


def test_vocabulary_covers_padded_embeddings(tmp_path: Path, planted_tokenizer: Any) -> None:
    folder = tiny_model("llama", tmp_path, planted_tokenizer)
    engine = TorchEngine.load(str(folder), ModelOptions(dtype="float32"))
    engine.model.config.vocab_size += 5
    assert engine.vocabulary.ends_word.shape == (len(planted_tokenizer) + 5,)
    assert not engine.vocabulary.ends_word[-5:].any()


def test_prompts_in_pieces_equal_prompts_together(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = ids_of(engine, PROMPTS)
    whole = engine.prefill(prompts)
    monkeypatch.setattr(torch_engine, "_AT_ONCE", (1, 1))
    pieces = engine.prefill(prompts)
    for _ in range(20):  # more than there is room for
        torch.testing.assert_close(pieces.logits_BV, whole.logits_BV, **CLOSE)
        tokens = whole.logits_BV.argmax(-1)
        whole.step(tokens)
        pieces.step(tokens)
    branch = pieces.fork([3, 1])
    logits = branch.extend([[5, 7], [9]])
    expected = whole.fork([3, 1]).extend([[5, 7], [9]])
    torch.testing.assert_close(logits[0], expected[0], **CLOSE)
    torch.testing.assert_close(logits[1, 0], expected[1, 0], **CLOSE)
