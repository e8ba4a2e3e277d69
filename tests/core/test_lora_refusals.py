"""LoRA adapters that cannot be merged, or are damaged: one line each, and nothing is read wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from made_up_adapters import copied, float_weights_of, write_adapter
from made_up_checkpoints import float_weights, write_file
from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput, Corrupted, SixtyfoldError
from sixtyfold.core.lora_adapter import open_adapter


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"use_dora": True}, "use_dora=True, and sixtyfold does not know how that is merged"),
        ({"lora_bias": True}, "lora_bias=True"),
        ({"use_qalora": True}, "use_qalora=True"),
        ({"trainable_token_indices": [1]}, r"trainable_token_indices=\[1\]"),
        ({"target_parameters": ["experts"]}, "target_parameters="),
        ({"layer_replication": [[0, 1]]}, "layer_replication="),
        ({"alora_invocation_tokens": [1]}, "alora_invocation_tokens="),
        ({"something_of_next_year": 3}, "something_of_next_year=3"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa', which changed the base"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora'"),
        ({"peft_type": "IA3"}, "of type IA3; only LORA"),
        ({"peft_type": None}, "of type None"),
    ],
)
def test_what_merges_otherwise_is_refused(settings, message, qwen, adapter, tmp_path):
    with pytest.raises(BadInput, match=message) as caught:
        open_pair(qwen, copied(adapter, tmp_path / "x", **settings))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r": "many"}, "no usable rank or alpha"),
        ({"lora_alpha": None}, "no usable rank or alpha"),
        ({"lora_alpha": float("nan")}, "no usable rank or alpha"),
        ({"alpha_pattern": {"q_proj": float("inf")}}, "no usable rank or alpha"),
        ({"r": float("inf")}, "no usable rank or alpha"),
        ({"r": 0}, "no usable rank or alpha"),
        ({"rank_pattern": {"q_proj": -1}}, "no usable rank or alpha"),
        ({"rank_pattern": {"(": 3}}, "no usable rank or alpha"),
        ({"rank_pattern": [3]}, "no usable rank or alpha"),
        ({"r": 16}, "gives 'model.layers.0.self_attn.q_proj' rank 16, its matrices have 2"),
    ],
)
def test_settings_that_do_not_fit_the_weights_are_corrupted(
    settings, message, qwen, adapter, tmp_path
):
    with pytest.raises(Corrupted, match=message):
        open_pair(qwen, copied(adapter, tmp_path / "x", **settings))


STEM = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({f"{STEM}.lora_magnitude_vector": (32,)}, BadInput, "no LoRA factor and no tensor"),
        ({"base_model.model.score.weight": (2, 32)}, BadInput, "'base_model.model.score.weight'"),
        ({f"{STEM}.lora_B.weight": None}, Corrupted, "only one of its two LoRA matrices"),
        ({f"{STEM}.lora_B.weight": (31, 2)}, BadInput, r"is \[32, 32\], its update \(31, 32\)"),
        ({f"{STEM}.lora_B.weight": (32, 3)}, BadInput, r"are \[2, 32\], \[32, 3\]"),
        ({"base_model.model.model.layers.7.x.lora_A.weight": (2, 32),
          "base_model.model.model.layers.7.x.lora_B.weight": (32, 2)},
         BadInput, "'model.layers.7.x', which the base does not store"),
        ({"base_model.model.layers.0.self_attn.q_proj.lora_A.weight": (2, 32),
          "base_model.model.layers.0.self_attn.q_proj.lora_B.weight": (32, 2)},
         BadInput, "q_proj.weight' twice"),
        ({f"{STEM}.lora_A.default.weight": (2, 32)}, BadInput, "is no LoRA factor"),
        ({"base_model.model.model.norm.weight": (33,)}, BadInput,
         r"'model.norm.weight' is \[33\] in it and \[32\] in the base"),
        ({"base_model.model.lm_head.weight": (900, 32)}, BadInput, "do not go together"),
        ({"base_model.model.lm_head.weight": (773, 32),
          "base_model.model.lm_head.modules_to_save.weight": (774, 32)},
         Corrupted, "two different tensors for 'lm_head.weight'"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(change, error, message, qwen, adapter, tmp_path):
    folder = copied(adapter, tmp_path / "x")
    values = float_weights_of(adapter / "adapter_model.safetensors")
    for name, shape in change.items():
        values.pop(name, None)
        if shape is not None:
            values[name] = np.ones(shape, np.float32)
    write_adapter(folder, values)
    with pytest.raises(error, match=message) as caught:
        open_pair(qwen, folder)
    assert "\n" not in str(caught.value)


def test_weights_that_are_missing_broken_or_pickled_are_told(qwen, adapter, tmp_path, capsys):
    folder = copied(adapter, tmp_path / "x")
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(Corrupted, match="not a complete safetensors file"):
        open_pair(qwen, folder)
    weights.unlink()
    with pytest.raises(BadInput, match=r"but no adapter_model\.safetensors"):
        open_pair(qwen, folder)
    values = float_weights_of(adapter / "adapter_model.safetensors")
    state = {name: torch.tensor(each) for name, each in values.items()}
    torch.save(state, folder / "adapter_model.bin")
    with pytest.raises(BadInput, match=r"a pickle \(adapter_model.bin\).*or give --allow-pickle"):
        open_pair(qwen, folder)
    assert capsys.readouterr().err == ""
    pair = open_pair(qwen, folder, allow_pickle=True)
    assert "is a pickle file" in capsys.readouterr().err
    expected = open_pair(qwen, adapter).tuned.tensors
    for name, each in pair.tuned.tensors.items():
        assert np.array_equal(each.raw(), expected[name].raw())


def test_an_adapter_without_weights_is_refused(qwen, adapter, tmp_path):
    folder = copied(adapter, tmp_path / "x")
    write_adapter(folder, {})
    with pytest.raises(BadInput, match="it changes nothing"):
        open_pair(qwen, folder)


def test_an_adapter_is_no_base(qwen, adapter):
    with pytest.raises(BadInput, match="holds an adapter, no whole model; give it as the tuned"):
        open_pair(adapter, qwen)


def test_a_quantised_base_is_refused(qwen, adapter, tmp_path):
    base = tmp_path / "q"
    base.mkdir()
    stored = {name: ("F32", each) for name, each in float_weights(qwen).items()}
    name = "model.layers.0.self_attn.q_proj.weight"
    stored[name] = ("U8", np.ones((32, 32), np.uint8))
    write_file(base / "model.safetensors", stored)
    with pytest.raises(BadInput, match=f"'{name}' of the base .* is stored as U8"):
        open_pair(base, adapter)


def test_tokenizer_comes_from_the_adapter_where_it_has_one(qwen, adapter, tmp_path):
    folder = copied(adapter, tmp_path / "x")
    without = {each.name: each for each in open_adapter(folder, open_checkpoint(qwen)).companions()}
    assert without[Path("config.json")].source == qwen / "config.json"
    assert without[Path("tokenizer.json")].source == qwen / "tokenizer.json"
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    with_own = open_adapter(folder, open_checkpoint(qwen)).companions()
    assert {each.source.parent for each in with_own if "tokenizer" in each.name.name} == {folder}
    assert with_own[-1].name == Path("config.json")


def test_reading_an_adapter_imports_neither_torch_nor_peft(qwen, adapter):
    program = (
        "import sys; from pathlib import Path\n"
        "from sixtyfold.core.checkpoint_pair import open_pair\n"
        "pair = open_pair(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "sum(chunk.update.sum() for each in pair.region('all') for chunk in each.chunks())\n"
        "sys.exit(bool({'torch', 'peft', 'transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(qwen), str(adapter)], check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_damaged_adapters_are_refused_or_read(name, qwen, adapter, tmp_path):
    """Flips are put where names and numbers are: in weights they are another adapter's."""
    whole, stream = (adapter / name).read_bytes(), np.random.default_rng(0)
    refused = 0
    for number in range(80):
        folder = copied(adapter, tmp_path / str(number))
        content = bytearray(whole)
        content[stream.integers(min(len(content), 1200))] ^= 1 << int(stream.integers(8))
        (folder / name).write_bytes(content if number % 4 else content[: number * 10])
        try:
            pair = open_pair(qwen, folder)
            sum(float(chunk.update.sum()) for each in pair.region("all") for chunk in each.chunks())
        except SixtyfoldError:
            refused += 1
    assert refused >= 20
