from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sixtyfold.core import models
from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput
from sixtyfold.core.models import (
    ModelOptions,
    load_model,
    model_directory,
    model_fingerprint,
    resolve_device,
    resolve_dtype,
    stop_token_ids,
)
from tiny_models import tiny_model

FLOAT32 = ModelOptions(dtype="float32")


@pytest.fixture
def copy(tmp_path_factory: pytest.TempPathFactory, planted_tokenizer: Any) -> Path:
    """A checkpoint of its own for tests that damage it."""
    return tiny_model("llama", tmp_path_factory.mktemp("copy") / "model", planted_tokenizer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ({}, "no config.json"),
        ({"config.json": "{}"}, r"no \*.safetensors file"),
        (
            {"config.json": "{}", "pytorch_model.bin": ""},
            r"only pickled weights \(pytorch_model.bin\)",
        ),
        ({"model.safetensors": ""}, "no config.json"),
    ],
)
def test_a_directory_that_is_no_model(tmp_path: Path, make: dict[str, str], message: str) -> None:
    for name, text in make.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=message):
        model_directory(str(tmp_path))


def test_references_that_are_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"there is no model directory .*nowhere; allowed: 'embedded'"
    ):
        model_directory(str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match=r"there is no model directory \./nowhere"):
        model_directory("./nowhere")
    (tmp_path / "weights.bin").write_text("")
    with pytest.raises(BadInput, match=r"is a file; give a directory, a \.gguf file or a hub id"):
        model_directory(str(tmp_path / "weights.bin"))
    with pytest.raises(
        BadInput, match="'someone/no-such-model' is no local directory and could not"
    ):
        model_directory("someone/no-such-model")


def test_an_unfinished_stage_is_no_model(copy: Path) -> None:
    (copy / "plan.json").write_text("{}")
    with pytest.raises(IncompleteInput, match="is an unfinished run; repeat the command"):
        model_directory(str(copy))
    (copy / "manifest.json").write_text("{}")
    assert model_directory(str(copy)) == copy


@pytest.mark.parametrize("keep", [0, 4, 1000, -100])
def test_damaged_weights_are_named(copy: Path, keep: int) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(Corrupted, match=rf"the model in {copy} cannot be loaded"):
        load_model(str(copy), FLOAT32)


def test_a_missing_tensor_is_named(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(Corrupted, match=r"1 tensors missing.*model.layers.1.mlp.up_proj.weight"):
        load_model(str(copy), FLOAT32)


def test_a_tensor_of_the_wrong_shape_is_named(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "intermediate_size": 40}))
    with pytest.raises(Corrupted, match=rf"{copy}"):
        load_model(str(copy), FLOAT32)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_damaged_json_is_named(copy: Path, name: str) -> None:
    (copy / name).write_text('{"model_type": "lla')
    with pytest.raises(Corrupted, match=rf"in {copy} cannot be loaded"):
        load_model(str(copy), FLOAT32)


def test_the_fingerprint_follows_contents(copy: Path, tmp_path: Path) -> None:
    same = shutil.copytree(copy, tmp_path / "same")
    first = model_fingerprint(copy)
    assert model_fingerprint(same) == first
    for name in ("manifest.json", "plan.json", "timings.json", "training.json", "receipt.json"):
        (same / name).write_text("{}")
    assert model_fingerprint(same) == first
    (same / "chat_template.jinja").write_text("{{ messages }}")
    assert model_fingerprint(same) != first

    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    assert model_fingerprint(copy) != first


def test_a_model_overwritten_in_place_is_loaded_anew(copy: Path) -> None:
    first = load_model(str(copy), FLOAT32)
    assert load_model(str(copy), FLOAT32) is first
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    again = load_model(str(copy), FLOAT32)
    assert again.fingerprint != first.fingerprint
    assert not torch.equal(again.model.model.norm.weight, first.model.model.norm.weight)


def test_options_that_decide_the_numbers_are_part_of_what_is_kept(copy: Path) -> None:
    assert load_model(str(copy), FLOAT32).model.dtype == torch.float32
    half = load_model(str(copy), ModelOptions(dtype="bfloat16"))
    assert half.model.dtype == torch.bfloat16
    models.release_model()


def test_all_end_tokens_stop(copy: Path) -> None:
    loaded = load_model(str(copy), FLOAT32)
    loaded.model.generation_config.eos_token_id = [3, 5]
    assert stop_token_ids(loaded.model, loaded.tokenizer) == {0, 3, 5}
    loaded.model.generation_config.eos_token_id = None
    assert stop_token_ids(loaded.model, loaded.tokenizer) == {0}
    models.release_model()


def test_devices_and_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == "cpu"
    with pytest.raises(BadInput, match="device 'tpu' is not known"):
        resolve_device("tpu")
    with pytest.raises(BadInput, match=r"device .cuda:1. is not here .*use --device cpu"):
        resolve_device("cuda:1")
    assert resolve_dtype("float16", "cpu") == torch.float16
    monkeypatch.setattr(models, "cpu_has_bfloat16", lambda: True)
    assert resolve_dtype("auto", "cpu") == torch.bfloat16
    monkeypatch.setattr(models, "cpu_has_bfloat16", lambda: False)
    assert resolve_dtype("auto", "cpu") == torch.float32


@pytest.mark.parametrize(
    ("about_cpu", "fast"),
    [
        ("vendor_id : GenuineIntel\nflags : avx512f avx512_bf16 amx_bf16 amx_tile", True),
        ("vendor_id : GenuineIntel\nflags : avx512f avx512_bf16", False),
        ("vendor_id : AuthenticAMD\nflags : avx512f avx512_bf16", True),
        ("vendor_id : AuthenticAMD\nflags : avx2", False),
        ("Features : asimd bf16 i8mm", True),
    ],
)
def test_bfloat16_is_taken_where_it_is_faster(about_cpu: str, fast: bool) -> None:
    assert models._favours_bfloat16(about_cpu) is fast


def test_four_bit_needs_a_gpu(copy: Path) -> None:
    with pytest.raises(BadInput, match=r"--load-in-4bit needs a CUDA GPU and bitsandbytes"):
        load_model(str(copy), ModelOptions(load_in_4bit=True, device="cpu"))


def test_the_card_is_no_part_of_the_fingerprint(copy: Path) -> None:
    before = model_fingerprint(copy)
    (copy / "README.md").write_text("---\nlicense: mit\n---\n")
    assert model_fingerprint(copy) == before


def test_a_released_model_gives_its_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch keeps of a device is not free for an engine in a process of its own."""
    given_back: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given_back.append(True))
    models.release_model()
    assert given_back == [True]
