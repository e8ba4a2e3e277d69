"""What the name of a weight tensor tells: its layer, its block, the regions it belongs to.

Covers the names of Llama-like models (also Qwen, Mistral, Gemma, Phi), GPT-2 and GPT-NeoX. Knows
names only, no files and no values.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from sixtyfold.core.errors import suggestion

#: Regions with a name; `transformer` is inside the layers without norms (the paper's).
REGIONS = ("transformer", "attention", "mlp", "embeddings", "all")

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block)\.(\d+)\.")
_LAYER_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
_BUFFER = re.compile(r"(?:\.attn|\.attention)\.(?:masked_)?bias$|rotary_emb\.inv_freq$")
_NORM = re.compile(r"norm|(?:^|[._])ln(?:_|\.|$)", re.IGNORECASE)
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
#: Classes and wrappers (peft, distributed training, torch.compile) that a name may begin with.
_PREFIX = re.compile(
    r"^(?:(?:base_model|model|language_model|transformer|gpt_neox|module|_orig_mod"
    r"|_fsdp_wrapped_module)\.)+"
)

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


def _check_region(region: str) -> str:
    parse_region(region)
    return region


Region = Annotated[str, AfterValidator(_check_region)]
"""Which weights are looked at, as `parse_region` reads it."""


def _check_layers(layers: str) -> str:
    parse_layers(layers)
    return layers


Layers = Annotated[str, AfterValidator(_check_layers)]
"""Which layers, as `parse_layers` reads it."""


class Place(NamedTuple):
    """Where in a model a tensor sits."""

    layer: int | None
    """Index of the layer, or None outside the layers."""
    block: str
    """q, k, v, qkv, o, gate, up, gate_up, down, router, norm, embedding, head, buffer or other."""

    def inside(self, region: str) -> bool:
        """Return whether the tensor belongs to one of `REGIONS`.

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


class ParsedRegion(NamedTuple):
    """The parts of a region."""

    which: str
    """One of `REGIONS`, or a pattern of tensor names."""
    layers: frozenset[int] | None
    """The layers it is limited to, None for no limit."""

    def holds(self, name: str, spot: Place) -> bool:
        """Return whether a tensor with this name and place belongs to the region."""
        if spot.block == "buffer" or (self.layers is not None and spot.layer not in self.layers):
            return False
        if self.which in REGIONS:
            return spot.inside(self.which)
        return fnmatchcase(name, self.which) or fnmatchcase(canonical(name), self.which)


def parse_region(region: str) -> ParsedRegion:
    """Read a region: a name or a pattern, and after a colon the layers it is limited to.

    Args:
        region: one of `REGIONS` or a pattern of tensor names with `*`, `?` or `.` in it, such as
            `*.q_proj.weight`; then, if wanted, `:8-15` or `:0,4-7` (layers count from 0).

    Raises:
        ValueError: it is none of these.

    >>> parse_region("mlp:8-9,12")
    ParsedRegion(which='mlp', layers=frozenset({8, 9, 12}))
    >>> name = "model.layers.3.self_attn.q_proj.weight"
    >>> parse_region("*.q_proj.weight:0-3").holds(name, place(name))
    True
    """
    which, _, layers = region.partition(":")
    if which not in REGIONS and not set(which) & set("*?."):
        raise ValueError(
            f"allowed are {', '.join(REGIONS)}{suggestion(which, REGIONS)}, or a pattern of tensor "
            "names such as '*.q_proj.weight'"
        )
    return ParsedRegion(which, parse_layers(layers) if ":" in region else None)


def parse_layers(layers: str) -> frozenset[int]:
    """Read a list of layers and ranges of them, both ends included.

    Raises:
        ValueError: it is none.

    >>> sorted(parse_layers("0, 4-6"))
    [0, 4, 5, 6]
    """
    found: set[int] = set()
    for part in layers.split(","):
        ends = _LAYER_RANGE.fullmatch(part.strip())
        first, last = (int(ends.group(1)), int(ends.group(2) or ends.group(1))) if ends else (1, 0)
        if first > last:
            raise ValueError(
                f"layers are given as 8-15 or 0,4-7, counted from 0, not as '{layers}'"
            )
        found.update(range(first, last + 1))
    return frozenset(found)


def canonical(name: str) -> str:
    """Return the name without the prefix that depends on how a model was saved.

    >>> canonical("model.layers.0.mlp.up_proj.weight") == canonical("layers.0.mlp.up_proj.weight")
    True
    >>> canonical("transformer.h.0.attn.c_attn.weight")
    'h.0.attn.c_attn.weight'
    >>> canonical("_orig_mod.module.model.norm.weight")
    'norm.weight'
    """
    return _PREFIX.sub("", name)
