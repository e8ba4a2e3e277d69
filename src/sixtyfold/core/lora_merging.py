"""Which tensors of a base a LoRA adapter changes, and how: its tensors by name, checked one by one.

The names are those of peft, which is not needed to read them. What would change the merged weights
otherwise than its formula says, or does not fit the base, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sixtyfold.core.checkpoint import ADAPTER, Checkpoint
from sixtyfold.core.counterparts import Names, same_bytes, token_embedding
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.float_formats import FLOAT_FORMATS
from sixtyfold.core.lora_settings import LoraSettings
from sixtyfold.core.low_rank import Factors, MergedTensor
from sixtyfold.core.tensor_names import place
from sixtyfold.core.weight_files import Weights

_PREFIX = "base_model.model."
#: Models whose layers are stored (inputs, outputs). peft goes by the class of each module, whatever
#: `fan_in_fan_out` says: that is one setting for all modules, left by the last one it looked at.
_TRANSPOSED = ("gpt2", "openai-gpt", "imagegpt", "decision_transformer")
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<side>[AB])(?:\.weight)?")


class Merging:
    """What an adapter changes, found name by name."""

    def __init__(self, directory: Path, base: Checkpoint, settings: LoraSettings) -> None:
        self._directory = directory
        self._base = base
        self._settings = settings
        self._names = Names(base)
        self._whole: dict[str, Weights] = {}
        """Tensors that the adapter stores whole, by their name in the base."""
        self._halves: dict[str, dict[str, Weights]] = {}
        """Factors by module and side."""
        self._embeddings: set[str] = set()
        self._heads: list[Weights] = []
        """Whole heads that the base does not store, because it ties them."""

    def sort(self, name: str, stored: Weights) -> None:
        """Take in one tensor of the adapter's file."""
        if len(stored.shape) > 0 and stored.dtype not in FLOAT_FORMATS:
            raise self._unfit(f"'{name}' is stored as {stored.dtype}")
        plain = name.removeprefix(_PREFIX)
        found = _FACTOR.fullmatch(plain)
        if plain != name and found:
            self._halves.setdefault(found["module"], {})[found["side"]] = stored
            if found["kind"]:
                self._embeddings.add(found["module"])
            return
        if ".original_module." in plain:  # the base's own, beside a module that was trained whole
            return
        plain = plain.replace(".base_layer.", ".").replace(".modules_to_save.", ".")
        own = self._names.find(plain)
        if own is not None:
            if not same_bytes(self._whole.setdefault(own, stored), stored):
                raise Corrupted(f"{self._directory} holds two different tensors for '{own}'")
        elif place(plain).block == "head":
            self._heads.append(stored)
        else:
            raise self._unfit(f"'{name}' is no LoRA factor and no tensor of the base")

    def changed(self) -> dict[str, Weights]:
        """Return the tensors that differ from the base, by their name in the base."""
        if not self._whole and not self._halves:
            raise self._unfit("it changes nothing")
        found = {name: self._merged(name, stored, None) for name, stored in self._whole.items()}
        for module, sides in self._halves.items():
            name = self._names.find(f"{module}.weight")
            if name is None:
                raise self._unfit(f"it changes '{module}', which the base does not store")
            if name in found and found[name].factors is not None:
                raise self._unfit(f"it changes '{name}' twice, once as '{module}'")
            stored = self._whole.get(name, self._base.tensors[name])
            found[name] = self._merged(name, stored, self._factors(module, sides, stored))
        for name, merged in found.items():
            self._check_shape(name, merged)
        return dict(self._tied(found))

    def _merged(self, name: str, stored: Weights, factors: Factors | None) -> MergedTensor:
        dtype = self._base.tensors[name].dtype
        if dtype not in FLOAT_FORMATS:
            raise BadInput(
                f"tensor '{name}' of the base {self._base.directory} is stored as {dtype}; give "
                f"the base without quantisation ({', '.join(FLOAT_FORMATS)})"
            )
        return MergedTensor(name, dtype, stored, factors)

    def _factors(self, module: str, sides: Mapping[str, Weights], stored: Weights) -> Factors:
        """Put the two matrices of a module together."""
        if len(sides) != 2:
            raise Corrupted(f"{self._directory}: '{module}' has only one of its two LoRA matrices")
        a, b = sides["A"], sides["B"]
        if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1]:
            raise self._unfit(f"the matrices of '{module}' are {list(a.shape)}, {list(b.shape)}")
        if a.shape[0] != self._settings.rank_of(module):
            raise Corrupted(
                f"{self._directory}: {ADAPTER} gives '{module}' rank "
                f"{self._settings.rank_of(module)}, its matrices have {a.shape[0]}"
            )
        transposed = module in self._embeddings or self._is_transposed(module)
        factors = Factors(module, a, b, self._settings.scaling(module), transposed)
        turned = factors._replace(transposed=not transposed)
        if factors.shape != stored.shape == turned.shape and module not in self._embeddings:
            factors = turned  # the setting is one for all modules, GPT-2's head is not transposed
        if factors.shape != stored.shape:
            raise self._unfit(f"'{module}' is {list(stored.shape)}, its update {factors.shape}")
        return factors

    def _is_transposed(self, module: str) -> bool:
        """Whether a module's weight is stored (inputs, outputs), which a square one cannot show."""
        if self._base.config().get("model_type") in _TRANSPOSED:
            return place(f"{module}.weight").layer is not None
        return self._settings.transposed

    def _check_shape(self, name: str, merged: MergedTensor) -> None:
        own, base = merged.shape, self._base.tensors[name].shape
        grown = place(name).block in {"embedding", "head"} and own[1:] == base[1:]
        if own != base and not (grown and own[0] > base[0]):
            raise self._unfit(f"'{name}' is {list(own)} in it and {list(base)} in the base")

    def _tied(self, found: dict[str, MergedTensor]) -> dict[str, MergedTensor]:
        """Let a tied head follow its embedding, as it does in the model that peft merges."""
        source = token_embedding(self._base)
        if source is None:
            return found
        embedding = found.get(source.name)
        tied = [
            name
            for name, stored in self._base.tensors.items()
            if place(name).block == "head" and self._is_tied(stored, source)
        ]
        heads = [*self._heads, *(found[name] for name in tied if name in found)]
        for head in heads:
            if embedding is None or not same_bytes(head, embedding._replace(name=head.name)):
                raise self._unfit("it changes a head that the base ties to its embedding")
        if embedding is not None and (tied or not self._base_has_head()):
            whole = not same_bytes(embedding.stored, source)
            if whole and not heads and not self._settings.keeps_ties:
                raise self._unfit("its embedding was trained apart from the head it is tied to")
            found.update({name: embedding._replace(name=name) for name in tied})
        return found

    def _base_has_head(self) -> bool:
        return any(place(name).block == "head" for name in self._base.tensors)

    def _is_tied(self, head: Weights, embedding: Weights) -> bool:
        tied = self._base.config().get("tie_word_embeddings") is not False
        return tied and same_bytes(head, embedding)

    def _unfit(self, reason: str) -> BadInput:
        return BadInput(
            f"the adapter {self._directory} does not fit {self._base.directory}: {reason}; "
            "give the base it was trained on, or merge it with peft and give the merged model"
        )
