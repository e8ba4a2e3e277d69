"""An 8B model on a GPU of 80 GB: known from the config, no weight is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.tune import run as tune_run
from sixtyfold.stages.tune.memory import (
    Mode,
    Training,
    config_shape,
    device_memory,
    model_shape,
    refuse_if_short,
)
from sixtyfold.stages.tune.spec import TuneSpec
from tiny_models import ARCHITECTURES, tiny_model

LARGE = transformers.LlamaConfig(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
    num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=False,
)  # fmt: skip
GPU = 80e9
TOKENS = 8 * 64


@pytest.fixture(scope="module")
def llama() -> Training:
    shape = config_shape(LARGE, transformers.AutoModelForCausalLM)
    return Training(shape, Mode(), TOKENS)


def test_an_8b_model_has_as_many_weights_as_is_known(llama: Training) -> None:
    assert llama.shape.parameters == 8_030_261_248
    attention, middle = 4096 * (4096 + 1024 + 1024 + 4096), 3 * 4096 * 14336
    assert llama.shape.linear == 32 * (attention + middle)
    per_layer = (4096 + 4096) * 2 + (4096 + 1024) * 2 + (4096 + 14336) * 3
    assert llama.shape.lora_each == 32 * per_layer


def test_all_weights_take_sixteen_bytes_and_a_copy_each(llama: Training) -> None:
    needed = llama.needs()
    billions = 8.030261248
    assert needed.gradients / 1e9 == pytest.approx(4 * billions)
    assert needed.optimiser / 1e9 == pytest.approx(8 * billions)
    assert needed.weights / 1e9 == pytest.approx(6 * billions)
    float32 = llama._replace(mode=Mode(number_bytes=4)).needs()
    assert (float32.total - float32.activations) / 1e9 == pytest.approx(16 * billions)


def test_full_tuning_of_8b_is_refused_on_80_gb(llama: Training) -> None:
    with pytest.raises(BadInput) as refused:
        refuse_if_short(llama, GPU, "cuda")
    message = str(refused.value)
    assert "training all weights needs about 14" in message
    assert "cuda has 80.0 GB free" in message
    assert "--lora-rank 16 needs about 3" in message
    assert "FSDP over 2 such GPUs fits (examples/fsdp.yaml)" in message
    assert "adamw-8bit" not in message  # 12 bytes a weight do not fit either


def test_an_8bit_optimiser_is_named_where_it_fits(llama: Training) -> None:
    with pytest.raises(BadInput, match="--optimizer adamw-8bit needs about 9"):
        refuse_if_short(llama, 110e9, "cuda")


@pytest.mark.parametrize(
    "mode",
    [Mode(lora_rank=16), Mode(lora_rank=16, four_bit=True)],
    ids=["lora", "qlora"],
)
def test_a_lora_of_8b_fits(llama: Training, mode: Mode) -> None:
    training = llama._replace(mode=mode)
    refuse_if_short(training, GPU, "cuda")
    assert training.needs().total < (40e9 if not mode.four_bit else 12e9)


def test_two_gpus_hold_what_one_does_not(llama: Training) -> None:
    refuse_if_short(llama._replace(shares=2), GPU, "cuda")


def test_too_many_tokens_at_once_are_told(llama: Training) -> None:
    many = llama._replace(mode=Mode(lora_rank=16), tokens=20_000_000)
    with pytest.raises(BadInput, match="a smaller --batch or a larger --accumulate"):
        refuse_if_short(many, GPU, "cuda")


def test_a_processor_is_not_told_of_gpus(llama: Training) -> None:
    with pytest.raises(BadInput) as refused:
        refuse_if_short(llama, 20e9, "cpu")
    assert str(refused.value).endswith("use a smaller model or a machine with more memory")
    assert device_memory("cpu") > 1e8


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_lora_has_as_many_weights_as_peft_makes(
    kind: str, tmp_path: Path, planted_tokenizer: Any
) -> None:
    from peft import get_peft_model

    from sixtyfold.core.models import read_model
    from sixtyfold.stages.tune.weights import lora

    folder = tiny_model(kind, tmp_path, planted_tokenizer)
    spec = TuneSpec(selection=tmp_path, out=tmp_path, lora_rank=3)
    model = read_model(folder)
    shape = model_shape(folder)
    assert shape.parameters == model.num_parameters()
    trained = get_peft_model(model, lora(spec)).get_nb_trainable_parameters()[0]
    assert trained == 3 * shape.lora_each


@pytest.mark.parametrize("kind", ["llama", "qwen3", "phi3"])
def test_activations_are_about_what_the_backward_pass_keeps(
    kind: str, tmp_path: Path, planted_tokenizer: Any
) -> None:
    """Counted on a float32 model: within a factor of two."""
    from sixtyfold.core.models import read_model

    folder = tiny_model(kind, tmp_path, planted_tokenizer)
    model = read_model(folder).base_model.train()
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.arange(8 * 32).view(8, 32)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = model(input_ids=ids)  # keeps the graph, and so the tensors, alive
    shape = model_shape(folder)._replace(vocabulary=0)
    guess = Training(shape, Mode(number_bytes=4), ids.numel()).needs().activations
    assert held is not None
    assert 0.5 < guess / sum(kept.values()) < 2


def test_a_run_and_a_plan_refuse_before_they_begin(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune_run, "device_memory", lambda device: 1e6)
    spec = TuneSpec(model=str(planted), selection=selected, out=tmp_path / "t")
    for verb in (tune_run.plan, tune_run.run):
        with pytest.raises(BadInput, match=r"cpu has 0\.0 GB free"):
            verb(spec)
    assert not list((tmp_path / "t").glob("*.safetensors"))
