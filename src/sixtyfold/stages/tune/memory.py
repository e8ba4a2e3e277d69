"""The memory a training needs, from the model's config alone, and what the device has.

Weights, gradients and Adam's states are counted, parameter by parameter, on torch's `meta`
device; activations are a rough figure for layers whose inputs are all kept for the backward pass.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import resolve_dtype
from sixtyfold.stages.tune.processes import Processes, examples_at_once
from sixtyfold.stages.tune.spec import Optimizer, TuneSpec

_LORA_SUGGESTED = 16
_VOCABULARY_AT_ONCE = 32768
"""Columns of the output layer that TRL's loss holds at a time."""
_INPUTS_KEPT = 10
"""Tensors of a layer's width kept for the backward pass: norms, attention, residuals."""
_FOUR_BIT_BYTES = 0.56
"""Bytes of a 4-bit weight with its share of scales."""
_MIDDLES_KEPT = 4
"""Tensors of the feed-forward width kept: two projections, activation, product."""


class Shape(NamedTuple):
    """What of a model decides the memory it takes."""

    parameters: int
    linear: int
    """Weights of linear layers, the output layer excepted: what 4 bit covers."""
    lora_each: int
    """Weights a LoRA adds for each of its ranks."""
    hidden: int
    middle: int
    layers: int
    vocabulary: int
    context: int | None = None
    """Longest sequence it reads, where the config says so."""


class Needs(NamedTuple):
    """Bytes a training needs in each process."""

    weights: float
    gradients: float
    optimiser: float
    activations: float

    @property
    def total(self) -> float:
        """All of it, in bytes."""
        return self.weights + self.gradients + self.optimiser + self.activations

    def in_gigabytes(self) -> dict[str, float]:
        """Return the parts for a plan."""
        parts = {
            "weights": self.weights, "gradients": self.gradients, "adam": self.optimiser,
            "activations_about": self.activations, "needed": self.total,
        }  # fmt: skip
        return {f"gigabytes_{name}": round(size / 1e9, 2) for name, size in parts.items()}


class Mode(NamedTuple):
    """How a model is trained, as far as memory goes."""

    lora_rank: int | None = None
    four_bit: bool = False
    optimizer: Optimizer = "adamw"
    number_bytes: int = 2
    """Bytes of a number in the forward pass."""


class Training(NamedTuple):
    """What decides the memory of a training."""

    shape: Shape
    mode: Mode
    tokens: int
    """Run at once in a process, padding included."""
    shares: int = 1
    """Processes over which weights, gradients and states are split."""

    def needs(self) -> Needs:
        """Return what it needs in each process.

        Weights are float32 (4 bytes), and a weight that is trained is kept a second time in the
        number format of the forward pass where that is another; 4-bit linear layers take half a
        byte and a share of scales. Gradients take 4 bytes, Adam's states 8, or 2 in 8 bit, for
        each weight that is trained.
        """
        shape, mode = self.shape, self.mode
        trained = shape.parameters
        kept = 4.0 * shape.parameters
        if mode.four_bit:
            kept = _FOUR_BIT_BYTES * shape.linear + 2 * (shape.parameters - shape.linear)
        if mode.lora_rank is not None:
            trained = mode.lora_rank * shape.lora_each
            kept += 4 * trained
        copies = trained * mode.number_bytes if mode.number_bytes < 4 else 0
        adam = trained * (8 if mode.optimizer == "adamw" else 2)
        wide = _INPUTS_KEPT * shape.hidden + _MIDDLES_KEPT * shape.middle
        layers = shape.layers * wide * mode.number_bytes
        output = 3 * 4 * min(shape.vocabulary, _VOCABULARY_AT_ONCE)
        return Needs(
            (kept + copies) / self.shares,
            4 * trained / self.shares,
            adam / self.shares,
            self.tokens * (layers + output),
        )


def planned_training(
    directory: Path, spec: TuneSpec, device: str, longest: int, processes: Processes
) -> Training:
    """Return what decides the memory of training a model directory.

    Args:
        directory: of the model; its config is read, its weights are not.
        spec: the options given.
        device: where it trains.
        longest: tokens of the longest example.
        processes: those that train together.

    Raises:
        BadInput: the batch cannot be shared out evenly, or the architecture is not known.
    """
    at_once = examples_at_once(spec.recipe.batch, spec.accumulate, processes.number)
    return Training(
        model_shape(directory, trust_remote_code=spec.trust_remote_code),
        Mode(
            spec.lora_rank,
            spec.load_in_4bit,
            spec.optimizer,
            resolve_dtype(spec.dtype, device).itemsize,
        ),
        at_once * longest,
        processes.number if processes.sharded else 1,
    )


def model_shape(directory: Path, *, trust_remote_code: bool = False) -> Shape:
    """Return the shape of a model from its config; takes no memory for its weights.

    Raises:
        BadInput: transformers does not know the architecture.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"the model in {directory} cannot be trained: {reason}") from None
    return config_shape(config, AutoModelForCausalLM, trust_remote_code=trust_remote_code)


def config_shape(config: Any, loader: Any, *, trust_remote_code: bool = False) -> Shape:
    """Return the shape of a model of a config, built without memory.

    Args:
        config: a transformers config.
        loader: the auto class that builds a model of it.
        trust_remote_code: run Python code that comes with the config.
    """
    import torch

    with torch.device("meta"):
        model = loader.from_config(config, trust_remote_code=trust_remote_code)
    output = model.get_output_embeddings()
    linear = [module for module in model.modules() if _is_linear(module) and module is not output]
    text = config.get_text_config()
    return Shape(
        parameters=sum(weight.numel() for weight in model.parameters()),
        linear=sum(module.weight.numel() for module in linear),
        lora_each=sum(sum(module.weight.shape) for module in linear),
        hidden=text.hidden_size,
        middle=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        layers=text.num_hidden_layers,
        vocabulary=text.vocab_size,
        context=getattr(text, "max_position_embeddings", None),
    )


def _is_linear(module: Any) -> bool:
    import torch
    from transformers.pytorch_utils import Conv1D

    return isinstance(module, torch.nn.Linear | Conv1D)


def device_memory(device: str) -> float:
    """Return the bytes that are free on a device."""
    import torch

    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0])
    if device == "mps":
        return float(torch.mps.recommended_max_memory())
    import psutil

    return float(psutil.virtual_memory().available)


def refuse_if_short(training: Training, free: float, device: str) -> None:
    """Refuse a training that does not fit.

    Args:
        training: what decides its memory.
        free: bytes free on the device.
        device: where it trains.

    Raises:
        BadInput: it does not fit; says what would.
    """
    needed = training.needs()
    if needed.total <= free:
        return
    rank = training.mode.lora_rank
    what = "all weights" if rank is None else f"a LoRA of rank {rank}"
    raise BadInput(
        f"training {what} needs about {_gb(needed.total)} GB (weights {_gb(needed.weights)}, "
        f"gradients {_gb(needed.gradients)}, Adam {_gb(needed.optimiser)}, activations about "
        f"{_gb(needed.activations)}) and {device} has {_gb(free)} GB free; "
        f"{'; '.join(ways_out(training, free, device))}"
    )


def ways_out(training: Training, free: float, device: str) -> list[str]:
    """Return what would fit, each with its memory.

    Args:
        training: one that does not fit.
        free: bytes free on the device.
        device: where it trains.
    """
    mode = training.mode
    rank = mode.lora_rank or _LORA_SUGGESTED
    found = []
    options = {"--lora-rank": mode._replace(lora_rank=rank)}
    if device.startswith("cuda"):
        options["--optimizer adamw-8bit"] = mode._replace(optimizer="adamw-8bit")
        options["--load-in-4bit"] = mode._replace(lora_rank=rank, four_bit=True)
    for option, other in options.items():
        total = training._replace(mode=other).needs().total
        if other != mode and total <= free:
            words = f"{option} {rank}" if option == "--lora-rank" else option
            words += f" --lora-rank {rank}" if option == "--load-in-4bit" else ""
            found.append(f"{words} needs about {_gb(total)} GB")
    needed = training.needs()
    room = free - needed.activations
    if room > 0 and device.startswith("cuda"):
        gpus = math.ceil((needed.total - needed.activations) * training.shares / room)
        found.append(f"FSDP over {gpus} such GPUs fits (examples/fsdp.yaml)")
    if room <= 0:
        found.append("a smaller --batch or a larger --accumulate needs less for activations")
    return found or ["use a smaller model or a machine with more memory"]


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}"
