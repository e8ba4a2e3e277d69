"""Safetensors checkpoints, memory-mapped, read piece by piece, without torch.

Knows the file format and how to refuse what is broken. The safetensors library is not used here
because its NumPy reader has no bfloat16 and its writer needs every tensor in memory at once. Knows
nothing of shards and models.
"""

from __future__ import annotations

import json
import math
import mmap
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.float_formats import RAW_TYPES, Array

#: Reading one page maps its neighbours too, so what is read beside a run is released with it.
_MAPPED_AROUND = max(mmap.PAGESIZE, 1 << 16)
_LARGEST_HEADER = 100_000_000


class StoredTensor(NamedTuple):
    """One tensor of a file."""

    file: SafetensorsFile
    name: str
    dtype: str
    """Name of the format in the file, a key of `RAW_TYPES`."""
    shape: tuple[int, ...]
    offset: int
    """First byte in the file."""

    @property
    def numel(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in the file."""
        return self.numel * RAW_TYPES[self.dtype].itemsize

    def raw(self, start: int = 0, stop: int | None = None) -> Array:
        """Return weights start..stop of the flattened tensor as a read-only view of the file."""
        stop = self.numel if stop is None else stop
        kind = RAW_TYPES[self.dtype]
        if stop <= start:
            return np.empty(0, kind)
        offset = self.offset + start * kind.itemsize
        return np.frombuffer(self.file.content, kind, stop - start, offset)

    def release(self, start: int, stop: int) -> None:
        """Let the system drop the pages of weights start..stop from this process's memory."""
        width = RAW_TYPES[self.dtype].itemsize
        first = (self.offset + start * width) // _MAPPED_AROUND * _MAPPED_AROUND
        last = -(-(self.offset + stop * width) // _MAPPED_AROUND) * _MAPPED_AROUND
        if last > first:
            self.file.content.madvise(mmap.MADV_DONTNEED, first, last - first)


class SafetensorsFile:
    """One memory-mapped file with a checked header.

    Args:
        path: the file.

    Raises:
        BadInput: there is no such file or it cannot be read.
        Corrupted: the header is not one, or promises other data than the file holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise BadInput(f"{path} is no regular file; fetch or make the checkpoint again")
        try:
            with path.open("rb") as handle:
                size = path.stat().st_size
                length = int.from_bytes(handle.read(8), "little")
                if size < 8 or length > min(size - 8, _LARGEST_HEADER):
                    raise _broken(path, f"its {size} bytes hold no complete header")
                self.header = handle.read(length)
                self.content = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise BadInput(f"cannot read {path} ({error.strerror})") from None
        self.tensors = self._parse(size)

    @property
    def name(self) -> str:
        """Its file name."""
        return self.path.name

    @property
    def size(self) -> int:
        """Its bytes."""
        return len(self.content)

    @property
    def prefix(self) -> bytes:
        """Everything before the first tensor, as it stands in the file."""
        return len(self.header).to_bytes(8, "little") + self.header

    def _parse(self, size: int) -> dict[str, StoredTensor]:
        """Return the tensors in the order of their data; see the class for errors."""
        try:
            entries = json.loads(self.header)
            entries.pop("__metadata__", None)
            found = [self._entry(name, entry) for name, entry in entries.items()]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _broken(self.path, "its header is not readable") from None
        found.sort(key=lambda tensor: (tensor.offset, tensor.nbytes))
        expected = len(self.prefix)
        for tensor in found:
            if tensor.offset != expected:
                raise _broken(self.path, f"the data of '{tensor.name}' is not where it should be")
            expected += tensor.nbytes
        if expected != size:
            raise _broken(self.path, f"its header promises {expected} bytes, the file has {size}")
        return {tensor.name: tensor for tensor in found}

    def _entry(self, name: str, entry: dict[str, Any]) -> StoredTensor:
        begin, end = entry["data_offsets"]
        shape = tuple(entry["shape"])
        if not all(type(value) is int for value in (begin, end, *shape)):
            raise TypeError
        if not name.isprintable():  # it would be shown as it is
            raise _broken(self.path, f"a tensor is named {name!r}")
        if entry["dtype"] not in RAW_TYPES:
            raise BadInput(
                f"{self.path}: tensor '{name}' is stored as {entry['dtype']!r}; readable are "
                f"{', '.join(RAW_TYPES)}; convert the checkpoint first"
            )
        tensor = StoredTensor(self, name, entry["dtype"], shape, len(self.prefix) + begin)
        if min(shape, default=0) < 0 or tensor.nbytes != end - begin:
            raise _broken(self.path, f"shape and size of '{name}' disagree")
        return tensor


def _broken(path: Path, reason: str) -> Corrupted:
    return Corrupted(
        f"{path} is not a complete safetensors file ({reason}); fetch or make it again"
    )
