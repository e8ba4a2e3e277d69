"""Weights by the file they are stored in, whatever the format: what readers and writers share.

A tensor gives runs of its weights in their stored form; a file gives its tensors and the
safetensors header of a copy of it. So a pickle file or a merged adapter is read, and a repaired
copy of it written, like any safetensors file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from sixtyfold.core.float_formats import RAW_TYPES, Array


class Weights(Protocol):
    """One tensor."""

    @property
    def name(self) -> str:
        """Its name in the checkpoint."""

    @property
    def dtype(self) -> str:
        """Name of its format, a key of `RAW_TYPES`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def numel(self) -> int:
        """Number of weights."""

    @property
    def nbytes(self) -> int:
        """Size in a safetensors file."""

    def raw(self, start: int = 0, stop: int | None = None) -> Array:
        """Return weights start..stop of the flattened tensor; not to be written to."""

    def release(self, start: int, stop: int) -> None:
        """Let the system drop what was read of weights start..stop."""


class WeightFile(Protocol):
    """A file of tensors."""

    @property
    def name(self) -> str:
        """File name of a copy as safetensors."""

    @property
    def size(self) -> int:
        """Bytes of a copy as safetensors."""

    @property
    def prefix(self) -> bytes:
        """Everything before the first tensor of a copy as safetensors."""

    @property
    def tensors(self) -> Mapping[str, Weights]:
        """The tensors by name, in the order of their data in a copy."""


class MadeFile(NamedTuple):
    """A file whose tensors are stored elsewhere or otherwise than a copy of it will be."""

    name: str
    tensors: Mapping[str, Weights]

    @property
    def prefix(self) -> bytes:
        """Header of a copy as safetensors."""
        return safetensors_header(self.tensors.values())

    @property
    def size(self) -> int:
        """Bytes of a copy as safetensors."""
        return len(self.prefix) + sum(tensor.nbytes for tensor in self.tensors.values())


def safetensors_header(tensors: Iterable[Weights]) -> bytes:
    """Return the beginning of a safetensors file that holds tensors in the order given."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        start, end = end, end + tensor.nbytes
        shape = list(tensor.shape)
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def stored_size(shape: tuple[int, ...], dtype: str) -> int:
    """Return the bytes of a tensor.

    >>> stored_size((2, 3), "BF16")
    12
    """
    return math.prod(shape) * RAW_TYPES[dtype].itemsize
