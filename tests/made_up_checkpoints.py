"""Small made-up checkpoints for the tests of pair reader, diff and restore."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.float_formats import RAW_TYPES, convert, to_float32

LLAMA_SHAPES = {
    "model.embed_tokens.weight": (10, 4),
    "model.layers.0.input_layernorm.weight": (4,),
    "model.layers.0.mlp.down_proj.weight": (4, 6),
    "model.layers.0.mlp.up_proj.weight": (6, 4),
    "model.layers.0.self_attn.q_proj.bias": (4,),
    "model.layers.0.self_attn.q_proj.weight": (4, 4),
    "model.layers.1.mlp.up_proj.weight": (6, 4),
    "model.layers.1.self_attn.o_proj.weight": (4, 4),
    "model.norm.weight": (4,),
}


def in_dtype(values: np.ndarray, dtype: str) -> np.ndarray:
    """Raw array of float32 values in a float format."""
    return convert(np.asarray(values, np.float32), "F32", dtype)


def write_file(path: Path, tensors: Mapping[str, tuple[str, np.ndarray]]) -> None:
    """Write one safetensors file; values are (dtype name, raw array)."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position, data = 0, []
    for name, (dtype, raw) in tensors.items():
        blob = np.ascontiguousarray(raw, RAW_TYPES[dtype]).tobytes()
        offsets = [position, position + len(blob)]
        header[name] = {"dtype": dtype, "shape": list(raw.shape), "data_offsets": offsets}
        position += len(blob)
        data.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def write_checkpoint(
    directory: Path,
    values: Mapping[str, np.ndarray],
    dtype: str = "F32",
    shards: int = 1,
    config: Mapping[str, object] | None = None,
) -> Path:
    """Write a model directory of float32 `values` in a float format, over one or more shards."""
    directory.mkdir(parents=True, exist_ok=True)
    raw = {name: (dtype, in_dtype(each, dtype)) for name, each in values.items()}
    (directory / "config.json").write_text(json.dumps(config or {"model_type": "llama"}))
    if shards == 1:
        write_file(directory / "model.safetensors", raw)
        return directory
    mapping = {}
    for number in range(shards):
        name = f"model-{number + 1:05d}-of-{shards:05d}.safetensors"
        own = {key: raw[key] for key in list(raw)[number::shards]}
        write_file(directory / name, own)
        mapping.update(dict.fromkeys(own, name))
    index = {"metadata": {}, "weight_map": mapping}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def random_values(
    seed: int = 0, shapes: Mapping[str, tuple[int, ...]] = LLAMA_SHAPES, scale: float = 0.02
) -> dict[str, np.ndarray]:
    """Normal weights."""
    stream = np.random.default_rng(seed)
    return {
        name: (scale * stream.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def moved(values: Mapping[str, np.ndarray], seed: int = 1, scale: float = 1e-3) -> dict:
    """Weights after a made-up tuning: about a third of them do not move."""
    stream = np.random.default_rng(seed)
    return {
        name: each
        + (scale * stream.standard_normal(each.shape) * (stream.random(each.shape) > 1 / 3)).astype(
            np.float32
        )
        for name, each in values.items()
    }


def write_pair(folder: Path, **options: object) -> tuple[Path, Path]:
    """Write a Llama-like base and a tuned model."""
    base = random_values()
    return (
        write_checkpoint(folder / "base", base, **options),
        write_checkpoint(folder / "tuned", moved(base), **options),
    )


def raw_weights(directory: Path) -> dict[str, np.ndarray]:
    """All weights of a checkpoint, raw, in their shapes."""
    found = open_checkpoint(directory).tensors
    return {name: each.raw().reshape(each.shape).copy() for name, each in found.items()}


def float_weights(directory: Path) -> dict[str, np.ndarray]:
    """All weights of a checkpoint in float32, in their shapes."""
    found = open_checkpoint(directory).tensors
    return {
        name: to_float32(each.raw(), each.dtype).reshape(each.shape).copy()
        for name, each in found.items()
    }
