"""What the name of a weight tensor tells: its layer, its block, the regions it belongs to.

Covers the names of Llama-like models (also Qwen, Mistral, Gemma, Phi), GPT-2 and GPT-NeoX. Knows
names only, no files and no values.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

Region = Literal["transformer", "attention", "mlp", "embeddings", "all"]
"""Which weights are looked at: `transformer` is inside the layers without norms (the paper's)."""

REGIONS: tuple[str, ...] = get_args(Region)

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")
_BUFFER = re.compile(r"(?:\.attn|\.attention)\.(?:masked_)?bias$|rotary_emb\.inv_freq$")
_NORM = re.compile(r"norm|(?:^|[._])ln(?:_|\.|$)", re.IGNORECASE)
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
_PREFIX = re.compile(r"^(?:base_model\.)?(?:model|transformer|gpt_neox)\.")

_BLOCKS = {
    "q": ("q_proj", "query", "q"),
    "k": ("k_proj", "key", "k"),
    "v": ("v_proj", "value", "v"),
    "qkv": ("qkv_proj", "c_attn", "query_key_value", "Wqkv"),
    "o": ("o_proj", "out_proj", "dense", "wo"),
    "gate": ("gate_proj", "w1"),
    "up": ("up_proj", "w3", "c_fc", "fc1", "fc_in", "dense_h_to_4h"),
    "gate_up": ("gate_up_proj",),
    "down": ("down_proj", "w2", "fc2", "fc_out", "dense_4h_to_h"),
    "router": ("gate", "router"),
    "embedding": ("embed_tokens", "wte", "wpe", "embed_in", "word_embeddings", "embed_positions"),
    "head": ("lm_head", "embed_out"),
}
_BLOCK_OF = {word: block for block, words in _BLOCKS.items() for word in words}
_ATTENTION_BLOCKS = frozenset({"q", "k", "v", "qkv", "o"})
_MLP_BLOCKS = frozenset({"gate", "up", "gate_up", "down", "router"})


class Place(NamedTuple):
    """Where in a model a tensor sits."""

    layer: int | None
    """Index of the layer, or None outside the layers."""
    block: str
    """q, k, v, qkv, o, gate, up, gate_up, down, router, norm, embedding, head, buffer or other."""

    def inside(self, region: Region) -> bool:
        """Return whether the tensor belongs to a region.

        >>> place("model.layers.0.self_attn.q_proj.bias").inside("transformer")
        True
        >>> place("model.layers.0.input_layernorm.weight").inside("transformer")
        False
        """
        if self.block == "buffer" or region == "all":
            return self.block != "buffer"
        if region == "embeddings":
            return self.block in {"embedding", "head"}
        if region == "transformer":
            return self.layer is not None and self.block != "norm"
        blocks = _ATTENTION_BLOCKS if region == "attention" else _MLP_BLOCKS
        return self.layer is not None and self.block in blocks


def place(name: str) -> Place:
    """Read layer and block from a tensor name.

    >>> place("model.layers.11.mlp.down_proj.weight")
    Place(layer=11, block='down')
    >>> place("transformer.h.3.attn.c_proj.bias"), place("transformer.h.3.mlp.c_proj.weight")
    (Place(layer=3, block='o'), Place(layer=3, block='down'))
    >>> [place(name).block for name in ("h.0.ln_1.weight", "wte.weight", "lm_head.weight")]
    ['norm', 'embedding', 'head']
    """
    found = _LAYER.search(name)
    return Place(int(found.group(1)) if found else None, _block(name))


def _block(name: str) -> str:
    if _BUFFER.search(name):
        return "buffer"
    if _NORM.search(name):
        return "norm"
    for word in reversed(name.split(".")):
        if word == "c_proj":  # GPT-2 calls both output projections so
            return "o" if _ATTENTION.search(name) else "down"
        if word in _BLOCK_OF:
            return _BLOCK_OF[word]
    return "other"


def canonical(name: str) -> str:
    """Return the name without the prefix that depends on how a model was saved.

    >>> canonical("model.layers.0.mlp.up_proj.weight") == canonical("layers.0.mlp.up_proj.weight")
    True
    >>> canonical("transformer.h.0.attn.c_attn.weight")
    'h.0.attn.c_attn.weight'
    """
    return _PREFIX.sub("", name)
