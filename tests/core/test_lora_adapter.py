"""LoRA adapters read as merged models, against peft's own `merge_and_unload`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from made_up_adapters import copied, float_weights_of, trained, write_adapter
from made_up_checkpoints import float_weights, write_file
from sixtyfold.core import low_rank
from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput
from sixtyfold.core.float_formats import to_float32
from sixtyfold.core.lora_adapter import open_adapter
from tiny_models import ARCHITECTURES, tiny_model

TARGETS = {
    "phi3": ["qkv_proj", "down_proj"],
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "gpt_neox": ["query_key_value", "dense", "dense_4h_to_h"],
}
OTHERS = ["q_proj", "o_proj", "up_proj", "down_proj"]


def merged_weights(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    found = open_adapter(adapter, open_checkpoint(base)).tensors
    return {
        name: torch.tensor(to_float32(each.raw(), each.dtype).reshape(each.shape).copy())
        for name, each in found.items()
    }


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], **near: Any):
    assert set(ours) <= set(theirs)
    for name, weights in ours.items():
        torch.testing.assert_close(
            weights, theirs[name].float(), **near, msg=lambda m, n=name: n + m
        )


NEAR = {"rtol": 1e-6, "atol": 1e-7}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_equals_peft(kind, tied, tmp_path, planted_tokenizer):
    base = tiny_model(kind, tmp_path / "base", planted_tokenizer, tied=tied)
    adapter, theirs = trained(
        base, tmp_path / "adapter", r=3, lora_alpha=7, target_modules=TARGETS.get(kind, OTHERS)
    )
    ours = merged_weights(base, adapter)
    assert set(ours) == set(float_weights(base))
    assert_same(ours, theirs, **NEAR)
    moved = [
        name for name, each in float_weights(base).items() if (ours[name].numpy() != each).any()
    ]
    assert len(moved) == 2 * len(TARGETS.get(kind, OTHERS)) + 2 * (kind == "gpt2")
    pair = open_pair(base, adapter)
    changed = {
        name for name, each in pair.tensors.items() if any(c.update.any() for c in each.chunks())
    }
    assert changed == set(moved)


@pytest.mark.parametrize(
    "options",
    [
        {"use_rslora": True, "lora_alpha": 5},
        {"rank_pattern": {"q_proj": 5, r"1\..*up_proj": 2}, "alpha_pattern": {"o_proj": 3}},
        {"rank_pattern": {"o_proj": 6}, "use_rslora": True, "alpha_pattern": {"layers.0.*": 1}},
        {"modules_to_save": ["lm_head", "norm"]},
        {"bias": "all"},
        {"bias": "lora_only"},
        {"target_modules": ["embed_tokens", "lm_head", "q_proj"]},
        {"layers_to_transform": [1]},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": False},
    ],
    ids=lambda options: next(iter(options)),
)
def test_settings_equal_peft(options, qwen, tmp_path):
    given = {"r": 4, "target_modules": OTHERS, **options}
    folder, theirs = trained(qwen, tmp_path / "a", **given)
    assert_same(merged_weights(qwen, folder), theirs)


def test_a_head_and_transposed_layers_in_one_adapter_equal_peft(tmp_path, planted_tokenizer):
    """One setting stands for both, and it is that of whichever module peft made last."""
    base = tiny_model("gpt2", tmp_path / "b", planted_tokenizer, tied=False)
    folder, theirs = trained(base, tmp_path / "a", r=2, target_modules=["c_fc", "lm_head", "wte"])
    assert_same(merged_weights(base, folder), theirs)


@pytest.mark.parametrize("targets", [["c_attn", "c_proj", "lm_head"], ["attn.c_proj", "lm_head"]])
def test_square_transposed_layers_beside_a_head_equal_peft(targets, tmp_path, planted_tokenizer):
    """Their shape does not tell, and the head that peft made last left the setting at False."""
    base = tiny_model("gpt2", tmp_path / "b", planted_tokenizer, tied=False)
    folder, theirs = trained(base, tmp_path / "a", r=2, target_modules=targets)
    assert not json.loads((folder / "adapter_config.json").read_text())["fan_in_fan_out"]
    assert_same(merged_weights(base, folder), theirs, **NEAR)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_rounded_once(dtype, qwen, tmp_path):
    half = tmp_path / "half"
    model = transformers.AutoModelForCausalLM.from_pretrained(qwen, dtype=getattr(torch, dtype))
    model.save_pretrained(half)
    folder, theirs = trained(half, tmp_path / "a", dtype=dtype, r=3, target_modules=OTHERS)
    ours = merged_weights(half, folder)
    assert_same(ours, theirs, rtol=2**-7 if dtype == "bfloat16" else 2**-10, atol=1e-6)
    same = [float((each == theirs[name]).float().mean()) for name, each in ours.items()]
    assert min(same) > 0.99  # the rest lie on the edge of two values
    assert {
        each.dtype for each in open_adapter(folder, open_checkpoint(half)).tensors.values()
    } == {{"bfloat16": "BF16", "float16": "F16"}[dtype]}


def test_an_adapter_in_half_precision_is_multiplied_in_float32(qwen, adapter, tmp_path):
    folder = copied(adapter, tmp_path)
    values = float_weights_of(adapter / "adapter_model.safetensors")
    rounded = {name: torch.tensor(each).bfloat16() for name, each in values.items()}
    write_adapter(folder, {name: each.float().numpy() for name, each in rounded.items()})
    wide = merged_weights(qwen, folder)
    raw = {name: ("BF16", each.view(torch.int16).numpy()) for name, each in rounded.items()}
    write_file(folder / "adapter_model.safetensors", raw)
    narrow = merged_weights(qwen, folder)
    assert all(torch.equal(narrow[name], each) for name, each in wide.items())


def test_tied_heads_follow_their_embedding(tmp_path, planted_tokenizer):
    base = tiny_model("llama", tmp_path / "b", planted_tokenizer, tied=True)
    folder, theirs = trained(base, tmp_path / "a", r=2, target_modules=["embed_tokens"])
    ours = merged_weights(base, folder)
    assert "lm_head.weight" not in ours
    assert_same(ours, theirs)
    stored = {name: ("F32", each) for name, each in float_weights(base).items()}
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"]
    write_file(base / "model.safetensors", stored)
    ours = merged_weights(base, folder)
    assert torch.equal(ours["lm_head.weight"], ours["model.embed_tokens.weight"])
    assert_same({n: each for n, each in ours.items() if n != "lm_head.weight"}, theirs)
    assert open_pair(base, folder).tensors["lm_head.weight"].twin == "model.embed_tokens.weight"


@pytest.mark.parametrize("stored_twice", [False, True])
def test_an_adapter_of_a_tied_head_is_refused(stored_twice, tmp_path, planted_tokenizer):
    base = tiny_model("llama", tmp_path / "b", planted_tokenizer, tied=True)
    folder, _ = trained(base, tmp_path / "a", r=2, target_modules=["lm_head"])
    if stored_twice:
        stored = {name: ("F32", each) for name, each in float_weights(base).items()}
        stored["lm_head.weight"] = stored["model.embed_tokens.weight"]
        write_file(base / "model.safetensors", stored)
    with pytest.raises(BadInput, match=r"'lm_head', which the base does not|a head that the base"):
        open_pair(base, folder)


@pytest.mark.parametrize("grown", [0, 3])
def test_an_embedding_trained_apart_from_its_tied_head_is_refused(
    grown, tmp_path, planted_tokenizer
):
    base = tiny_model("llama", tmp_path / "b", planted_tokenizer, tied=True)
    given = {"r": 2, "target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}
    folder, _ = trained(base, tmp_path / "a", grown=grown, **given)
    with pytest.raises(BadInput, match=r"trained apart from|changes a head that the base ties"):
        open_pair(base, folder)


@pytest.mark.parametrize("tied", [True, False])
def test_added_tokens_grow_embedding_head_and_vocabulary(tied, tmp_path, planted_tokenizer):
    base = tiny_model("llama", tmp_path / "b", planted_tokenizer, tied=tied)
    modules = ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]
    folder, theirs = trained(
        base, tmp_path / "a", grown=3, r=2, target_modules=["q_proj"], modules_to_save=modules,
        ensure_weight_tying=tied,
    )  # fmt: skip
    merged = open_adapter(folder, open_checkpoint(base))
    ours = merged_weights(base, folder)
    assert_same(ours, theirs)
    rows = json.loads((base / "config.json").read_text())["vocab_size"] + 3
    assert merged.config()["vocab_size"] == rows == len(ours["model.embed_tokens.weight"])
    pair = open_pair(base, folder)
    grown = {name: each.added_rows for name, each in pair.tensors.items() if each.added_rows}
    head = set() if tied else {"lm_head.weight"}
    assert grown == dict.fromkeys({"model.embed_tokens.weight"} | head, 3)


def test_runs_of_any_length_have_the_same_bits(qwen, adapter):
    found = open_adapter(adapter, open_checkpoint(qwen)).tensors
    tensor = found["model.layers.0.self_attn.q_proj.weight"]
    assert isinstance(tensor, low_rank.MergedTensor)
    whole = tensor.raw()
    for length in (1, 7, 32, 33, 100):
        starts = range(0, tensor.numel, length)
        parts = [tensor.raw(start, min(start + length, tensor.numel)) for start in starts]
        assert np.array_equal(np.concatenate(parts), whole)
    assert tensor.raw(5, 5).size == 0


def test_the_sum_is_made_rank_by_rank(qwen, adapter):
    """By hand: ((a₀b₀ + a₁b₁) · scaling) + base, each step rounded to float32."""
    values = float_weights_of(adapter / "adapter_model.safetensors")
    stem = "base_model.model.model.layers.1.self_attn.q_proj.lora_"
    a, b = values[f"{stem}A.weight"], values[f"{stem}B.weight"]
    update = np.outer(b[:, 0], a[0]) + np.outer(b[:, 1], a[1])
    name = "model.layers.1.self_attn.q_proj.weight"
    by_hand = float_weights(qwen)[name] + update * np.float32(8 / 2)
    assert np.array_equal(merged_weights(qwen, adapter)[name].numpy(), by_hand)
