"""Safetensors checkpoints, memory-mapped, read piece by piece, without torch.

Knows the file format, shards and their index, and how to refuse what is broken or unsafe. The
safetensors library is not used here because its NumPy reader has no bfloat16 and its writer needs
every tensor in memory at once. Does not know what a weight means.
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

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_LARGEST_HEADER = 100_000_000
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


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
        page = (self.offset + start * width) // mmap.PAGESIZE * mmap.PAGESIZE
        length = self.offset + stop * width - page
        if length > 0:
            self.file.content.madvise(mmap.MADV_DONTNEED, page, length)


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
    def prefix(self) -> bytes:
        """Everything before the first tensor, as it stands in the file."""
        return len(self.header).to_bytes(8, "little") + self.header

    def _parse(self, size: int) -> dict[str, StoredTensor]:
        """Return the tensors in the order of their data; see the class for errors."""
        try:
            entries = json.loads(self.header)
            entries.pop("__metadata__", None)
            found = [self._entry(name, entry) for name, entry in entries.items()]
        except (ValueError, KeyError, TypeError, AttributeError):
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
        begin, end = (int(value) for value in entry["data_offsets"])
        shape = tuple(int(value) for value in entry["shape"])
        if entry["dtype"] not in RAW_TYPES:
            raise BadInput(
                f"{self.path}: tensor '{name}' is stored as {entry['dtype']}; readable are "
                f"{', '.join(RAW_TYPES)}; convert the checkpoint first"
            )
        tensor = StoredTensor(self, name, entry["dtype"], shape, len(self.prefix) + begin)
        if min(shape, default=0) < 0 or tensor.nbytes != end - begin:
            raise _broken(self.path, f"shape and size of '{name}' disagree")
        return tensor


class Checkpoint(NamedTuple):
    """All weights of a model directory."""

    directory: Path
    files: tuple[SafetensorsFile, ...]
    tensors: dict[str, StoredTensor]
    index_file: Path | None
    """The shard index, or None for a single file."""

    def config(self) -> dict[str, Any]:
        """Return `config.json`, empty where there is none.

        Raises:
            Corrupted: it is not a JSON object.
        """
        path = self.directory / "config.json"
        return _json_object(path) if path.is_file() else {}


def open_checkpoint(directory: Path) -> Checkpoint:
    """Open the safetensors weights of a model directory.

    Args:
        directory: holds `model.safetensors`, or shards and `model.safetensors.index.json`.

    Raises:
        BadInput: the directory or its weights are missing, are pickles or an adapter, or the index
            points outside the directory.
        Corrupted: a file is broken, or index and shards disagree.
    """
    if not directory.is_dir():
        raise BadInput(f"there is no model directory {directory}")
    if (directory / SINGLE).is_file():
        file = SafetensorsFile(directory / SINGLE)
        return Checkpoint(directory, (file,), file.tensors, None)
    if (directory / INDEX).is_file():
        return _open_shards(directory, directory / INDEX)
    raise BadInput(_why_no_weights(directory))


def _open_shards(directory: Path, index: Path) -> Checkpoint:
    """Open every shard that the index names and compare both."""
    mapping = _json_object(index).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise Corrupted(f"{index} names no weights (no 'weight_map'); fetch the checkpoint again")
    names = sorted({str(name) for name in mapping.values()})
    for name in names:
        if Path(name).name != name or "\\" in name:
            raise BadInput(
                f"{index} points outside its folder ({name!r}); shards must lie beside the index"
            )
    files = tuple(SafetensorsFile(directory / name) for name in names)
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for name, tensor in file.tensors.items():
            if mapping.get(name) != file.path.name:
                raise Corrupted(
                    f"{index} says '{name}' is in {mapping.get(name)}, it is in {file.path.name}; "
                    "fetch the checkpoint again"
                )
            tensors[name] = tensor
    missing = sorted(set(mapping) - set(tensors))
    if missing:
        raise Corrupted(f"{index} promises '{missing[0]}', but {mapping[missing[0]]} lacks it")
    return Checkpoint(directory, files, tensors, index)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise Corrupted(f"{path} is not readable JSON ({error})") from None
    if not isinstance(value, dict):
        raise Corrupted(f"{path} holds no JSON object")
    return value


def _why_no_weights(directory: Path) -> str:
    """Say what stands in the way of reading a directory as a checkpoint."""
    if (directory / "adapter_model.safetensors").is_file():
        return f"{directory} holds a LoRA adapter only; merge it into its base model and give that"
    pickles = sorted(path.name for pattern in _PICKLES for path in directory.glob(pattern))
    if pickles:
        return (
            f"{directory} holds a pickle checkpoint ({pickles[0]}), which can run code when "
            "opened; only safetensors are read: load it where you trust it and save_pretrained() it"
        )
    return f"{directory} holds no weights; {SINGLE} or {INDEX} is needed"


def _broken(path: Path, reason: str) -> Corrupted:
    return Corrupted(
        f"{path} is not a complete safetensors file ({reason}); fetch or make it again"
    )
