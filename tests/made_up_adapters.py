"""LoRA adapters with random weights, made by peft, and spoiled copies of them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers

from made_up_checkpoints import float_weights, write_file


def trained(base: Path, folder: Path, *, dtype: str = "float32", grown: int = 0, **options: Any):
    """Save an adapter with random weights; return it and the weights of peft's merged model."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    if grown:
        model.resize_token_embeddings(model.config.vocab_size + grown)
    torch.manual_seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, peft.LoraConfig(**options))
        with torch.no_grad():
            for name, weight in wrapped.named_parameters():
                if "lora_" in name or weight.requires_grad:
                    weight.add_(torch.randn_like(weight) * 0.05)
        wrapped.save_pretrained(folder)
        wrapped.merge_and_unload().save_pretrained(folder / "merged")
    return folder, {
        name: torch.tensor(each) for name, each in float_weights(folder / "merged").items()
    }


def copied(adapter: Path, folder: Path, **settings: Any) -> Path:
    """Copy an adapter with other settings."""
    folder.mkdir(exist_ok=True)
    given = json.loads((adapter / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**given, **settings}))
    content = (adapter / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(content)
    return folder


def float_weights_of(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(path)


def write_adapter(folder: Path, values: dict[str, np.ndarray]) -> None:
    raw = {name: ("F32", each) for name, each in values.items()}
    write_file(folder / "adapter_model.safetensors", raw)
