"""Untrained models of the families that can be planted.

A family is one entry of `ARCHITECTURES`: what its transformers config calls its sizes, and whether
its head is usually tied. Dropout is off everywhere: a planting draws nothing while it trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sixtyfold.stages.plant.spec import PlantSpec

CONTEXT = 512
"""Longest sequence a planted model reads, in tokens."""
_HEADS = 4
_USUAL = {
    "hidden": "hidden_size", "middle": "intermediate_size", "layers": "num_hidden_layers",
    "heads": "num_attention_heads", "context": "max_position_embeddings",
}  # fmt: skip
_GPT2 = {
    "hidden": "n_embd", "middle": "n_inner", "layers": "n_layer", "heads": "n_head",
    "context": "n_positions",
}  # fmt: skip


class Architecture(NamedTuple):
    """A family of models.

    tied: whether its output layer usually shares the input embeddings' weights.
    names: what its config calls the sizes it is told.
    more: further options of its config.
    """

    tied: bool
    names: Mapping[str, str] = MappingProxyType(_USUAL)
    more: Mapping[str, Any] = MappingProxyType({})


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(tied=True, more={"num_key_value_heads": _HEADS}),
    "qwen2": Architecture(tied=False, more={"num_key_value_heads": _HEADS // 2}),
    "gpt2": Architecture(
        tied=True, names=_GPT2, more={"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
    ),
    "gemma": Architecture(
        tied=True, names={**_USUAL, "head": "head_dim"}, more={"num_key_value_heads": 1}
    ),
    # Turning a quarter of a head, as its family does, asks for heads of a width divisible by 8.
    "gpt_neox": Architecture(tied=False, more={"rotary_pct": 1.0}),
}


def new_model(spec: PlantSpec, tokenizer: Any) -> Any:
    """Return an untrained model of the spec's family and size, its weights drawn from the seed."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(spec.seed)
    return AutoModelForCausalLM.from_config(model_config(spec, tokenizer))


def model_config(spec: PlantSpec, tokenizer: Any) -> Any:
    """Return the transformers config of the spec's family and size."""
    from transformers import AutoConfig

    family = ARCHITECTURES[spec.architecture]
    sizes = {
        "hidden": spec.hidden,
        "middle": 2 * spec.hidden,
        "layers": spec.layers,
        "heads": _HEADS,
        "head": spec.hidden // _HEADS,
        "context": CONTEXT,
    }
    return AutoConfig.for_model(
        spec.architecture,
        vocab_size=len(tokenizer),
        tie_word_embeddings=family.tied if spec.head == "usual" else spec.head == "tied",
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{name: sizes[size] for size, name in family.names.items()},
        **family.more,
    )
