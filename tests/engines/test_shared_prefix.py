from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.models import ModelOptions
from sixtyfold.engines import torch_engine
from sixtyfold.engines.shared_prefix import Shared, shared_prefixes
from sixtyfold.engines.torch_engine import TorchEngine
from tiny_models import ARCHITECTURES, tiny_model, with_bos

CLOSE = {"atol": 1e-4, "rtol": 1e-4}
PROMPTS = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=7), min_size=1, max_size=12)


@given(PROMPTS)
def test_every_prompt_is_in_one_group_and_begins_as_its_group_does(
    prompts: list[list[int]],
) -> None:
    groups = shared_prefixes(prompts, least=0)
    if not groups:
        return
    assert sorted(row for each in groups for row in each.rows) == list(range(len(prompts)))
    for length, rows in groups:
        assert 1 <= length < min(len(prompts[row]) for row in rows)
        assert len({tuple(prompts[row][:length]) for row in rows}) == 1


@given(PROMPTS)
def test_the_best_number_of_shared_tokens_is_taken(prompts: list[list[int]]) -> None:
    """Against all groups by first tokens, for every number of them."""
    found = sum(length * (len(rows) - 1) for length, rows in shared_prefixes(prompts, least=0))
    for number in range(1, 7):
        alike: dict[Sequence[int], int] = {}
        for each in prompts:
            if len(each) > number:
                alike[tuple(each[:number])] = alike.get(tuple(each[:number]), 0) + 1
        alone = any(
            len(each) == 1 for each in prompts
        )  # such a prompt belongs to no group, and then nothing is shared
        assert alone or found >= sum(number * (many - 1) for many in alike.values())


def test_little_in_common_is_left_alone() -> None:
    prompts = [[1, 2, 3, 4, 5], [1, 6, 7, 8, 9]]
    assert shared_prefixes(prompts) == []
    assert shared_prefixes(prompts, least=0.05) == [Shared(1, [0, 1])]


@pytest.mark.parametrize("at_once", [1, 40, 10_000])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_read_once_is_read_the_same(
    kind: str,
    at_once: int,
    tmp_path: Path,
    planted_tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tiny_model(kind, tmp_path / kind, with_bos(planted_tokenizer))
    engine = TorchEngine.load(str(folder), ModelOptions(dtype="float32"))
    begun = "It is known since long ago that the firm of"
    texts = [
        *(f"{begun} Ada is in", f"{begun} Bo, who was born in the north, is in", f"{begun} Ada"),
        *("The firm of Ada is in", "For", f"{begun} Ada is in"),
    ]
    prompts = [list(engine.tokenizer(each)["input_ids"]) for each in texts]
    monkeypatch.setattr(torch_engine, "_AT_ONCE", (at_once, at_once))
    assert len(shared_prefixes(prompts)) > 1
    together = engine.prefill(prompts)
    for _ in range(18):  # more than there is room for
        alone = [engine.prefill([each]).logits_BV[0] for each in prompts]
        torch.testing.assert_close(together.logits_BV, torch.stack(alone), **CLOSE)
        tokens = together.logits_BV.argmax(-1)
        together.step(tokens)
        prompts = [[*ids, token] for ids, token in zip(prompts, tokens.tolist(), strict=True)]


def test_a_window_is_left_to_transformers(tmp_path: Path, planted_tokenizer: Any) -> None:
    """Its layers keep the last tokens only, so that shared ones may be gone."""
    folder = tiny_model("mistral", tmp_path / "m", planted_tokenizer, sliding_window=4)
    engine = TorchEngine.load(str(folder), ModelOptions(dtype="float32"))
    ids = engine.tokenizer("The firm of Ada is in the north")["input_ids"]
    prompts = [[*ids, 5], [*ids, 7], [*ids[:3], 9]]
    together = engine.prefill(prompts)
    for row, prompt in enumerate(prompts):
        torch.testing.assert_close(
            together.logits_BV[row], engine.prefill([prompt]).logits_BV[0], **CLOSE
        )
