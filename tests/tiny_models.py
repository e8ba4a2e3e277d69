"""Random models of the architectures people use, two layers of width 32."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import transformers

_SHAPE = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
_OWN_HEADS = {key: value for key, value in _SHAPE.items() if key != "num_key_value_heads"}
_CONFIGS: dict[str, Any] = {
    "llama": lambda **more: transformers.LlamaConfig(**_SHAPE, **more),
    "qwen2": lambda **more: transformers.Qwen2Config(**_SHAPE, **more),
    "qwen3": lambda **more: transformers.Qwen3Config(**_SHAPE, head_dim=8, **more),
    "phi3": lambda **more: transformers.Phi3Config(**_SHAPE, **more),
    "gemma": lambda **more: transformers.GemmaConfig(**_SHAPE, head_dim=8, **more),
    "mistral": lambda **more: transformers.MistralConfig(**_SHAPE, head_dim=8, **more),
    "gpt_neox": lambda **more: transformers.GPTNeoXConfig(**_OWN_HEADS, **more),
    "gpt2": lambda **more: transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, n_positions=256, **more
    ),
}
ARCHITECTURES = tuple(_CONFIGS)


def tiny_model(
    kind: str,
    folder: Path,
    tokenizer: Any,
    seed: int = 0,
    tied: bool | None = None,
    **more: Any,
) -> Path:
    """Save a random model with a tokenizer into `folder`, an ordinary checkpoint directory.

    Its weights are drawn wide, so that its next tokens are far from equally likely. Input and
    output embeddings are tied as the architecture has it, or as `tied` says; `more` are further
    options of its configuration.
    """
    torch.manual_seed(seed)
    end = tokenizer.eos_token_id
    if tied is not None:
        more["tie_word_embeddings"] = tied
    config = _CONFIGS[kind](
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=end,
        pad_token_id=end,
        **more,
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(6 if "embed" not in name and "wte" not in name else 3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def with_bos(tokenizer: Any) -> Any:
    """Return a copy of a fast tokenizer that puts a bos token in front of every text."""
    from tokenizers.processors import TemplateProcessing

    copy = deepcopy(tokenizer)
    copy.add_special_tokens({"bos_token": "<s>"})
    copy.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", copy.bos_token_id)]
    )
    return copy
