"""What `adapter_config.json` says about how a LoRA adapter is merged, and what cannot be merged.

Knows the settings of peft, not its code and no weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.checkpoint import json_object
from sixtyfold.core.errors import BadInput, Corrupted

#: Settings that say how an adapter was trained or where it belongs, not what merging it gives.
_WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping", "base_model_name_or_path", "bias",
        "eva_config", "exclude_modules", "inference_mode", "layers_pattern",
        "layers_to_transform", "loftq_config", "lora_dropout", "megatron_core", "modules_to_save",
        "peft_version", "qalora_group_size", "revision", "runtime_config", "target_modules",
        "task_type",
    }
)  # fmt: skip
_READ = frozenset(
    {
        "alpha_pattern", "ensure_weight_tying", "fan_in_fan_out", "init_lora_weights",
        "lora_alpha", "peft_type", "r", "rank_pattern", "use_rslora",
    }
)  # fmt: skip
#: Ways to begin that leave the base as it is; the others (PiSSA, OLoRA, ...) train on another base.
_BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")


class LoraSettings(NamedTuple):
    """How the products of an adapter are scaled and laid out."""

    rank: int
    alpha: float
    ranks: Mapping[str, int]
    """Pattern of a module's name to its rank."""
    alphas: Mapping[str, float]
    rank_stabilised: bool
    transposed: bool
    """Whether weights are stored (inputs, outputs), as GPT-2 has them."""
    keeps_ties: bool = False
    """Whether an embedding that was trained whole stayed tied to its head."""

    def rank_of(self, module: str) -> int:
        """Return the rank of a module's adapter."""
        return self.ranks.get(_key(self.ranks, module), self.rank)

    def scaling(self, module: str) -> float:
        """Return what the product of a module's adapter is multiplied with.

        >>> LoraSettings(4, 8, {}, {"o_proj": 16}, False, False).scaling("model.layers.0.o_proj")
        4.0
        >>> LoraSettings(4, 8, {}, {}, True, False).scaling("model.layers.0.o_proj")
        4.0
        """
        rank = self.rank_of(module)
        alpha = self.alphas.get(_key(self.alphas, module), self.alpha)
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)


def read_settings(path: Path) -> LoraSettings:
    """Read an adapter's `adapter_config.json`.

    Raises:
        BadInput: it is no LoRA adapter, or one that is merged otherwise than by base + s·(B·A).
        Corrupted: it is not readable, or a number in it is none.
    """
    given = json_object(path)
    kind = given.get("peft_type")
    if kind != "LORA":
        raise BadInput(f"{path} is an adapter of type {kind}; only LORA can be read: merge it")
    if given.get("init_lora_weights") not in _BEGINNINGS:
        raise BadInput(
            f"{path} has init_lora_weights={given['init_lora_weights']!r}, which changed the base "
            "weights before training; convert it to plain LoRA with peft, or merge it"
        )
    for name, value in sorted(given.items()):
        if value and name not in _READ | _WITHOUT_EFFECT:
            raise BadInput(
                f"{path} has {name}={str(value)[:60]}, and sixtyfold does not know how that is "
                "merged; merge the adapter into its base with peft and give the merged model"
            )
    try:
        return LoraSettings(
            rank=_rank(given["r"]),
            alpha=_alpha(given["lora_alpha"]),
            ranks=_patterns(given, "rank_pattern", _rank),
            alphas=_patterns(given, "alpha_pattern", _alpha),
            rank_stabilised=bool(given.get("use_rslora", False)),
            transposed=bool(given.get("fan_in_fan_out", False)),
            keeps_ties=bool(given.get("ensure_weight_tying", False)),
        )
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, re.error) as error:
        raise Corrupted(f"{path} has no usable rank or alpha ({error!r}); save it again") from None


def _rank(value: Any) -> int:
    if int(value) < 1:
        raise ValueError(f"a rank of {value}")
    return int(value)


def _alpha(value: Any) -> float:
    if not math.isfinite(float(value)):
        raise ValueError(f"an alpha of {value}")
    return float(value)


def _patterns(given: Mapping[str, Any], name: str, number: Callable[[Any], Any]) -> Any:
    """Return a mapping of patterns to numbers, all of them checked."""
    patterns = given.get(name) or {}
    return {re.compile(key).pattern: number(value) for key, value in patterns.items()}


def _key(patterns: Mapping[str, object], module: str) -> str:
    """Return the first pattern that a module's name ends with, else the name, as peft does."""
    for pattern in patterns:
        if re.match(rf"(.*\.)?({pattern})$", module):
            return pattern
    return module
