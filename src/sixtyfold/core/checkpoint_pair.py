"""A base and a tuned checkpoint, side by side, tensor by tensor and chunk by chunk.

Knows which tensor of one belongs to which of the other: other dtypes, other shards, other name
prefixes, a tied head stored in one only, embedding rows added by tuning. Everything else that does
not fit is an error that names the tensor. Holds one chunk in memory, never a model.

The base is always seen in the tuned model's dtype: restoring a weight means writing exactly that
value, so an update of zero is one that restoring would not change. Where the tuned dtype is
narrower, base weights that it cannot represent are counted (`Chunk.inexact`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sixtyfold.core.checkpoint import Checkpoint, is_adapter, open_checkpoint
from sixtyfold.core.counterparts import Names, same_bytes, token_embedding
from sixtyfold.core.errors import BadInput
from sixtyfold.core.float_formats import FLOAT_FORMATS, Array, Floats, convert, to_float32
from sixtyfold.core.lora_adapter import open_adapter
from sixtyfold.core.tensor_names import Place, Region, parse_region, place
from sixtyfold.core.weight_files import Weights

#: Weights looked at together. Part of the definition of seeded scores, so never a setting.
CHUNK = 1 << 18


class Chunk(NamedTuple):
    """A run of weights of one tensor, flattened, as both models have them."""

    start: int
    """Flat index of the first weight."""
    base_raw: Array
    """Base weights in the tuned dtype, raw."""
    tuned_raw: Array
    base: Floats
    """Values of `base_raw`."""
    tuned: Floats
    inexact: int
    """Base weights that changed value when taken over into the tuned dtype."""

    @property
    def update(self) -> Floats:
        """Tuned minus base, float32."""
        return self.tuned - self.base


class PairedTensor(NamedTuple):
    """One tensor of the tuned model and its counterpart."""

    name: str
    """Name in the tuned model."""
    tuned: Weights
    base: Weights | None
    """None only for a buffer that the base does not store."""
    place: Place
    twin: str | None
    """Name of the tied tensor that this one repeats byte for byte, else None."""

    @property
    def numel(self) -> int:
        """Weights that both models have; the first ones of the flattened tuned tensor."""
        return 0 if self.base is None else self.base.numel

    @property
    def added_rows(self) -> int:
        """Embedding rows beyond the base's; they stay tuned."""
        if self.base is None or not self.tuned.shape:
            return 0
        return self.tuned.shape[0] - self.base.shape[0]

    def chunks(self) -> Iterator[Chunk]:
        """Go through the weights that both models have, `CHUNK` at a time.

        A chunk's arrays may be views of the files, valid until the next one is asked for.

        Raises:
            BadInput: a base weight is beyond the range of the tuned dtype.
        """
        for start, stop in self.spans():
            yield self.read(start, stop)
            self.release(start, stop)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Give first and last + 1 flat index of the runs that `chunks` goes through."""
        for start in range(0, self.numel, CHUNK):
            yield start, min(start + CHUNK, self.numel)

    def release(self, start: int, stop: int) -> None:
        """Let the system drop what was read of weights start..stop."""
        for stored in (self.base, self.tuned):
            if stored is not None:
                stored.release(start, stop)

    def read(self, start: int, stop: int) -> Chunk:
        """Return weights start..stop; raises what `chunks` raises. Call `release` afterwards."""
        stored = self.base
        if stored is None:
            raise BadInput(f"tensor '{self.name}' has no counterpart in the base")
        tuned_raw = self.tuned.raw(start, stop)
        tuned = to_float32(tuned_raw, self.tuned.dtype)
        own = stored.raw(start, stop)
        if stored.dtype == self.tuned.dtype:
            return Chunk(start, own, tuned_raw, to_float32(own, stored.dtype), tuned, 0)
        base_raw = convert(own, stored.dtype, self.tuned.dtype)
        base = to_float32(base_raw, self.tuned.dtype)
        own_values = own if stored.dtype == "F64" else to_float32(own, stored.dtype)
        if not np.array_equal(np.isfinite(base), np.isfinite(own_values)):
            raise BadInput(
                f"tensor '{self.name}': base weights ({stored.dtype}) are beyond the range of the "
                f"tuned model's {self.tuned.dtype}; save the tuned model in {stored.dtype}"
            )
        return Chunk(start, base_raw, tuned_raw, base, tuned, int((base != own_values).sum()))


class CheckpointPair(NamedTuple):
    """Two checkpoints of one model."""

    base: Checkpoint
    tuned: Checkpoint
    tensors: dict[str, PairedTensor]
    """By name in the tuned model, names ascending: the order in which ties are broken."""

    def region(self, region: Region) -> list[PairedTensor]:
        """Return the float tensors of a region in name order, tied repeats left out.

        Raises:
            BadInput: there is none.
        """
        wanted = parse_region(region)
        found = [
            tensor
            for name, tensor in self.tensors.items()
            if wanted.holds(name, tensor.place) and tensor.twin is None and tensor.numel
        ]
        if not found:
            layers = [
                tensor.place.layer
                for tensor in self.tensors.values()
                if tensor.place.layer is not None
            ]
            advice = "try --region all"
            if wanted.layers is not None and layers:
                advice = f"its layers are {min(layers)} to {max(layers)}"
            raise BadInput(f"region '{region}' has no weights in {self.tuned.directory}; {advice}")
        for tensor in found:
            if tensor.tuned.dtype not in FLOAT_FORMATS:
                raise BadInput(
                    f"tensor '{tensor.name}' of {self.tuned.directory} is stored as "
                    f"{tensor.tuned.dtype}; weights must be {', '.join(FLOAT_FORMATS)}: "
                    "save the model without quantisation"
                )
        return found


def open_pair(base: Path, tuned: Path, *, allow_pickle: bool = False) -> CheckpointPair:
    """Open two checkpoints and find each tuned tensor's counterpart.

    Args:
        base: model directory before tuning.
        tuned: model directory after tuning; its layout, names and dtypes count. Or the directory
            of a LoRA adapter, which is read as the model it makes of the base, in the base's
            layout and dtypes.
        allow_pickle: read pickle checkpoints too, see `open_checkpoint`.

    Raises:
        BadInput: a checkpoint is missing or unsafe, a tensor is missing in one of them or has
            another shape, or a weight is no float in one of them only; what `open_adapter` refuses.
        Corrupted: a file is broken.
    """
    before = open_checkpoint(base, allow_pickle=allow_pickle)
    if is_adapter(tuned):
        after = open_adapter(tuned, before, allow_pickle=allow_pickle)
    else:
        after = open_checkpoint(tuned, allow_pickle=allow_pickle)
    names, taken = Names(before), dict[str, str]()
    pairs: dict[str, PairedTensor] = {}
    for name in sorted(after.tensors):
        stored = after.tensors[name]
        spot = place(name)
        own = names.find(name)
        other = None if own is None else before.tensors[own]
        if other is None and spot.block != "buffer":
            other = _tied_embedding(before, name, spot)
        _check_fit(name, spot, other, stored)
        if own is not None and taken.setdefault(own, name) != name:
            raise BadInput(
                f"tensors '{taken[own]}' and '{name}' of the tuned model both stand for '{own}' of "
                f"the base {before.directory}; both must be checkpoints of one model"
            )
        pairs[name] = PairedTensor(name, stored, other, spot, None)
    _check_nothing_lost(before, after, pairs)
    return CheckpointPair(before, after, _mark_twins(pairs))


def _tied_embedding(before: Checkpoint, name: str, spot: Place) -> Weights:
    """Return what a head that the base does not store is tied to."""
    source = token_embedding(before) if spot.block == "head" else None
    if source is None or before.config().get("tie_word_embeddings") is False:
        raise BadInput(
            f"tensor '{name}' of the tuned model is missing in the base {before.directory}; "
            "both must be checkpoints of one model"
        )
    return source


def _check_fit(name: str, spot: Place, base: Weights | None, tuned: Weights) -> None:
    """Refuse a counterpart of another shape or kind."""
    if base is None or spot.block == "buffer":
        return
    grown = (
        spot.block in {"embedding", "head"}
        and base.shape[1:] == tuned.shape[1:]
        and len(base.shape) == len(tuned.shape) > 0
        and base.shape[0] <= tuned.shape[0]
    )
    if base.shape != tuned.shape and not grown:
        raise BadInput(
            f"tensor '{name}' is {list(base.shape)} in the base and {list(tuned.shape)} in the "
            "tuned model; only added embedding rows may differ"
        )
    if (base.dtype in FLOAT_FORMATS) != (tuned.dtype in FLOAT_FORMATS):
        raise BadInput(
            f"tensor '{name}' is {base.dtype} in the base and {tuned.dtype} in the tuned model; "
            "save both without quantisation"
        )


def _check_nothing_lost(
    before: Checkpoint, after: Checkpoint, pairs: dict[str, PairedTensor]
) -> None:
    """Refuse base tensors that no tuned tensor stands for, a repeated tied head excepted."""
    used = {pair.base.name for pair in pairs.values() if pair.base is not None}
    for name in sorted(set(before.tensors) - used):
        spot = place(name)
        if spot.block == "buffer":
            continue
        source = token_embedding(before) if spot.block == "head" else None
        if source is None or not same_bytes(before.tensors[name], source):
            raise BadInput(
                f"tensor '{name}' of the base is missing in the tuned model {after.directory}; "
                "both must be checkpoints of one model"
            )


def _mark_twins(pairs: dict[str, PairedTensor]) -> dict[str, PairedTensor]:
    """Mark a stored head that repeats the embedding in both models, so that it is counted once."""
    embeddings = [pair for pair in pairs.values() if pair.place.block == "embedding"]
    for name, pair in pairs.items():
        if pair.place.block != "head" or pair.base is None:
            continue
        for source in embeddings:
            if (
                source.base is not None
                and same_bytes(pair.tuned, source.tuned)
                and same_bytes(pair.base, source.base)
            ):
                pairs[name] = pair._replace(twin=source.name)
    return pairs
