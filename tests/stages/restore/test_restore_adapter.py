"""Restoring a LoRA adapter: what comes out is a whole model that every library opens."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import transformers

from made_up_checkpoints import float_weights, raw_weights
from sixtyfold.cli import run_command
from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.models import model_directory
from sixtyfold.core.tensor_names import place
from sixtyfold.stages.restore.run import run
from sixtyfold.stages.restore.spec import RestoreSpec
from tiny_models import tiny_model

TARGETS = ["q_proj", "o_proj", "down_proj"]
IDS = torch.tensor([[1, 5, 9, 2, 7]])


def trained(base: Path, folder: Path, grown: int = 0) -> torch.Tensor:
    """Save an adapter with random weights; return the logits of the model with it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    options: dict[str, object] = {}
    if grown:
        model.resize_token_embeddings(model.config.vocab_size + grown)
        options = {"modules_to_save": ["embed_tokens", "lm_head"]}
    torch.manual_seed(3)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        given = peft.LoraConfig(r=3, lora_alpha=9, target_modules=TARGETS, **options)
        wrapped = peft.get_peft_model(model, given)
        for weight in wrapped.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.05)
        wrapped.save_pretrained(folder)
        return wrapped.eval()(IDS).logits


@pytest.fixture(scope="module")
def made(tmp_path_factory, planted_tokenizer) -> tuple[Path, Path, torch.Tensor]:
    folder = tmp_path_factory.mktemp("adapters")
    base = tiny_model("qwen3", folder / "b", planted_tokenizer, tied=False)
    sharded = folder / "sharded"
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    model.save_pretrained(sharded, max_shard_size="40KB")
    planted_tokenizer.save_pretrained(sharded)
    return sharded, folder / "a", trained(base, folder / "a")


def restore(base: Path, tuned: Path, out: Path, **options: object) -> Path:
    return run(RestoreSpec(base=str(base), tuned=str(tuned), out=out, **options)).path


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()(IDS).logits


def test_nothing_put_back_is_the_merged_model(made, tmp_path):
    base, adapter, wanted = made
    out = restore(base, adapter, tmp_path / "o", top=0)
    torch.testing.assert_close(logits(out), wanted, rtol=1e-4, atol=1e-4)
    assert model_directory(str(out)) == out
    assert transformers.AutoTokenizer.from_pretrained(out)("a b")["input_ids"]
    assert not (out / "adapter_config.json").exists()


def test_the_layout_is_the_bases(made, tmp_path):
    base, adapter, _ = made
    out = restore(base, adapter, tmp_path / "o", top=30)
    one, other = open_checkpoint(base), open_checkpoint(out)
    assert len(one.files) > 2
    assert [file.name for file in one.files] == [file.name for file in other.files]
    for name, each in one.tensors.items():
        assert (other.tensors[name].dtype, other.tensors[name].shape) == (each.dtype, each.shape)


def test_everything_put_back_is_the_base(made, tmp_path):
    base, adapter, _ = made
    out = restore(base, adapter, tmp_path / "o", top=100)
    before, got = raw_weights(base), raw_weights(out)
    assert all(np.array_equal(got[name], each) for name, each in before.items())


def test_weights_are_the_bases_or_the_merged_ones_bit_for_bit(made, tmp_path):
    base, adapter, _ = made
    merged = float_weights(restore(base, adapter, tmp_path / "m", top=0))
    out = restore(base, adapter, tmp_path / "o", top=25)
    before, restored = float_weights(base), 0
    for name, each in float_weights(out).items():
        is_base, is_merged = each == before[name], each == merged[name]
        assert (is_base | is_merged).all()
        restored += int((is_base & ~is_merged).sum())
    changed = sum(int((merged[name] != each).sum()) for name, each in before.items())
    weights = sum(each.size for name, each in before.items() if place(name).inside("transformer"))
    assert restored == min(changed, round(0.25 * weights))  # those that did not move rank last


def test_added_tokens_are_in_the_model_and_its_configuration(tmp_path, planted_tokenizer):
    base = tiny_model("llama", tmp_path / "b", planted_tokenizer, tied=False)
    wanted = trained(base, tmp_path / "a", grown=2)
    out = restore(base, tmp_path / "a", tmp_path / "o", top=0)
    words = json.loads((base / "config.json").read_text())["vocab_size"]
    assert json.loads((out / "config.json").read_text())["vocab_size"] == words + 2
    torch.testing.assert_close(logits(out), wanted, rtol=1e-4, atol=1e-4)


def test_on_the_command_line(made, tmp_path, capsys):
    base, adapter, _ = made
    words = ["restore", "--base", str(base), "--tuned", str(adapter), "--out", str(tmp_path / "o")]
    assert run_command([*words, "--plan"]) == 0
    assert run_command(words) == 0
    capsys.readouterr()
    (tmp_path / "bad").mkdir()
    settings = json.loads((adapter / "adapter_config.json").read_text())
    content = (adapter / "adapter_model.safetensors").read_bytes()
    (tmp_path / "bad" / "adapter_model.safetensors").write_bytes(content)
    (tmp_path / "bad" / "adapter_config.json").write_text(
        json.dumps({**settings, "use_dora": True})
    )
    words[4] = str(tmp_path / "bad")
    words[6] = str(tmp_path / "never")
    assert run_command(words) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "use_dora=True" in told
