from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from sixtyfold.core.models import ModelOptions
from sixtyfold.engines import attention
from sixtyfold.engines.attention import NAME, grouped_attention
from sixtyfold.engines.torch_engine import TorchEngine


def layer(groups: int, *, training: bool = False) -> Any:
    return SimpleNamespace(num_key_value_groups=groups, training=training, is_causal=True)


def tensors(
    rows: int, heads: int, kv_heads: int, new: int, past: int, kind: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    query = torch.randn(rows, heads, new, 8, generator=random).to(kind)
    key, value = torch.randn(2, rows, kv_heads, past, 8, generator=random).to(kind)
    return query, key, value


def causal(rows: int, new: int, past: int) -> torch.Tensor:
    """The first tokens of later rows are padding."""
    seen = torch.ones(rows, 1, new, past, dtype=torch.bool).tril(past - new)
    for row in range(rows):
        seen[row, ..., :row] = False
    return seen


@torch.no_grad()
@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (6, 1)])
@pytest.mark.parametrize("new", [1, 3])
@pytest.mark.parametrize("scaling", [None, 0.2])
def test_equals_torchs_kernel(heads: tuple[int, int], new: int, scaling: float | None) -> None:
    query, key, value = tensors(3, *heads, new, 9, torch.float32)
    seen = causal(3, new, 9)
    own, _ = grouped_attention(layer(heads[0] // heads[1]), query, key, value, seen, scaling)
    theirs, _ = sdpa_attention_forward(
        layer(heads[0] // heads[1]), query, key, value, seen, scaling=scaling
    )
    torch.testing.assert_close(own, theirs, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_one_token_without_a_mask_sees_everything() -> None:
    query, key, value = tensors(2, 4, 2, 1, 5, torch.float32)
    own, _ = grouped_attention(layer(2), query, key, value, None)
    theirs, _ = sdpa_attention_forward(layer(2), query, key, value, None)
    torch.testing.assert_close(own, theirs, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_bfloat16_is_as_exact_as_bfloat16_can_be() -> None:
    query, key, value = tensors(4, 6, 2, 1, 30, torch.bfloat16)
    own, _ = grouped_attention(layer(3), query, key, value, None)
    exact, _ = sdpa_attention_forward(layer(3), query.double(), key.double(), value.double(), None)
    assert own.dtype == torch.bfloat16
    assert float((own.double() - exact).abs().max()) < 0.02


@torch.no_grad()
def test_a_row_that_sees_nothing_stays_finite() -> None:
    query, key, value = tensors(2, 4, 2, 3, 3, torch.float32)
    own, _ = grouped_attention(layer(2), query, key, value, causal(2, 3, 3))
    assert torch.isfinite(own).all()


@pytest.mark.parametrize("why", ["training", "gradients", "long", "position_bias", "float mask"])
def test_torchs_kernel_does_the_rest(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "sdpa_attention_forward", lambda *_, **__: ("theirs", None))
    new, past = (2, 3000) if why == "long" else (1, 5)
    query, key, value = tensors(2, 4, 2, new, past, torch.float32)
    seen = causal(2, new, past)
    if why == "float mask":
        seen = seen.float()
    options = {"position_bias": torch.zeros(1)} if why == "position_bias" else {}
    with torch.set_grad_enabled(why == "gradients"):
        own, _ = grouped_attention(
            layer(2, training=why == "training"), query, key, value, seen, **options
        )
    assert own == "theirs"


def test_a_loaded_model_attends_this_way_and_says_the_same(planted: Any) -> None:
    engine = TorchEngine.load(str(planted), ModelOptions(dtype="float32"))
    assert engine.model.config._attn_implementation == NAME
    prompts = [[5, 6, 7, 8], [9, 10]]
    own = engine.prefill(prompts)
    own.step(torch.tensor([11, 12]))
    engine.model.set_attn_implementation("sdpa")
    theirs = engine.prefill(prompts)
    theirs.step(torch.tensor([11, 12]))
    torch.testing.assert_close(own.logits_BV, theirs.logits_BV, atol=1e-4, rtol=1e-4)
