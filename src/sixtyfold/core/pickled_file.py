"""Pickle checkpoints, read by torch's loader that builds nothing but tensors.

Only opened where the user allowed it; torch is imported then and not before. Files of torch 1.6 and
later are memory-mapped, older ones are read whole.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.float_formats import RAW_TYPES, Array
from sixtyfold.core.weight_files import stored_size

#: Where trainers keep the weights in a file that holds more than weights.
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_FORMATS = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


class PickledTensor(NamedTuple):
    """One tensor of a pickle file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Array
    """The weights, flattened, raw."""

    @property
    def numel(self) -> int:
        """Number of weights."""
        return self.values.size

    @property
    def nbytes(self) -> int:
        """Size in a safetensors file."""
        return stored_size(self.shape, self.dtype)

    def raw(self, start: int = 0, stop: int | None = None) -> Array:
        """Return weights start..stop of the flattened tensor as a view of the file."""
        return self.values[start:stop]

    def release(self, start: int, stop: int) -> None:
        """Do nothing: the mapping is torch's, and its clean pages are the system's to take."""


def read_pickled(path: Path) -> dict[str, PickledTensor]:
    """Open a pickle checkpoint without running code that it may hold.

    Args:
        path: a file written by `torch.save`: tensors by name, or such a dictionary under
            `state_dict`, `model_state_dict` or `model`.

    Returns:
        its tensors by name, in the order of the file.

    Raises:
        BadInput: it cannot be read, holds objects other than tensors, or no tensors.
        Corrupted: it is damaged.
    """
    state = _state(_load(path), path)
    return {name: _tensor(name, value, path) for name, value in state.items()}


def _load(path: Path) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd versions; what cannot be read is an error
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as error:
                if "mmap can only be used with" not in str(error):
                    raise
                return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror or error})") from None
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).partition("WeightsUnpickler error:")[2].split())
        raise BadInput(
            f"{path} holds more than tensors and was not opened ({reason.split(' was not')[0]}); "
            "save its weights as safetensors where you trust it"
        ) from None
    except Exception as error:  # noqa: BLE001 - what a damaged pickle raises is of any class
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise Corrupted(f"{path} is not a complete checkpoint file ({reason})") from None


def _state(loaded: Any, path: Path) -> dict[str, Any]:
    """Return the tensors by name."""
    import torch

    for _ in range(1 + len(_WRAPPERS)):  # one in another, each once
        if not isinstance(loaded, dict):
            break
        if loaded and all(isinstance(value, torch.Tensor) for value in loaded.values()):
            return _named(loaded, path)
        inner = [loaded[each] for each in _WRAPPERS if isinstance(loaded.get(each), dict)]
        if not inner:
            break
        loaded = inner[0]
    found = ", ".join(map(_shown, list(loaded)[:4])) if isinstance(loaded, dict) else type(loaded)
    raise BadInput(
        f"{path} holds no weights by name (found {found or 'nothing'}); allowed: tensors by name, "
        f"alone or under {', '.join(_WRAPPERS)}"
    )


def _named(state: dict[Any, Any], path: Path) -> dict[str, Any]:
    """Return tensors whose keys are names."""
    for name in state:
        if not isinstance(name, str) or not name.isprintable():
            raise BadInput(f"{path} names a tensor {name!r}; names must be printable text")
    return state


def _shown(key: object) -> str:
    return key if isinstance(key, str) and key.isprintable() else repr(key)


def _tensor(name: str, value: Any, path: Path) -> PickledTensor:
    import torch

    dtype = _FORMATS.get(str(value.dtype).removeprefix("torch."))
    dense = value.layout is torch.strided and not value.is_quantized and not value.is_meta
    if dtype is None or not dense:
        kind = "meta, without its data" if value.is_meta else value.layout
        raise BadInput(
            f"{path}: tensor '{name}' is stored as {value.dtype} ({kind}); readable are "
            f"dense {', '.join(_FORMATS)}; convert the checkpoint first"
        )
    if value.numel() * value.element_size() > path.stat().st_size:
        raise BadInput(
            f"{path}: tensor '{name}' of shape {list(value.shape)} is larger than the file, which "
            "repeats its weights; save it dense"
        )
    flat = value.detach().resolve_neg().contiguous().reshape(-1)
    if dtype == "BF16":
        flat = flat.view(torch.int16)
    return PickledTensor(name, dtype, tuple(value.shape), flat.numpy().view(RAW_TYPES[dtype]))
