"""Floating-point storage formats without torch: bfloat16 and friends as NumPy arrays.

A stored weight is kept in its "raw" form (bfloat16 as uint16, the others as NumPy floats), so that
copying it keeps every bit; `to_float32` gives the value to compute with. Knows nothing of files.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]
Keys = npt.NDArray[np.uint32]
Number = TypeVar("Number", bound=np.generic)

#: safetensors name to the NumPy type that holds the same bits.
RAW_TYPES: dict[str, np.dtype[np.generic]] = {
    name: np.dtype(code)
    for name, code in {
        "F64": "<f8",
        "F32": "<f4",
        "F16": "<f2",
        "BF16": "<u2",
        "I64": "<i8",
        "I32": "<i4",
        "I16": "<i2",
        "I8": "i1",
        "U64": "<u8",
        "U32": "<u4",
        "U16": "<u2",
        "U8": "u1",
        "BOOL": "?",
    }.items()
}
FLOAT_FORMATS = ("F64", "F32", "F16", "BF16")


def to_float32(raw: Array, name: str) -> Floats:
    """Return the values of raw weights as float32.

    Exact for F32, F16 and BF16; F64 is rounded, beyond the range of float32 to infinity. F32 is
    returned without a copy.

    Args:
        raw: weights in the type `RAW_TYPES[name]`, any shape.
        name: one of `FLOAT_FORMATS`.

    >>> to_float32(np.array([0x3F80, 0xC000], np.uint16), "BF16").tolist()
    [1.0, -2.0]
    """
    if name == "BF16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    with np.errstate(over="ignore"):
        return raw.astype(np.float32, copy=False)


def convert(raw: Array, source: str, target: str) -> Array:
    """Return raw weights of one format in another, rounded to nearest even.

    Args:
        raw: weights in the type `RAW_TYPES[source]`.
        source: one of `FLOAT_FORMATS`.
        target: one of `FLOAT_FORMATS`; a value beyond its range becomes infinite.

    >>> convert(np.array([1.0, -2.0], np.float32), "F32", "BF16").tolist() == [0x3F80, 0xC000]
    True
    """
    if source == target:
        return raw
    if target == "BF16":
        return _bfloat16(_odd_float32(raw) if source == "F64" else to_float32(raw, source))
    values = to_float32(raw, source) if source == "BF16" else raw
    with np.errstate(over="ignore"):
        return values.astype(RAW_TYPES[target])


def _bfloat16(values: Floats) -> npt.NDArray[np.uint16]:
    """Round float32 to bfloat16 bits, nearest even; NaN stays NaN."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)
    rounded[np.isnan(values)] = 0x7FC0
    return rounded


def _odd_float32(doubles: Array) -> Floats:
    """Round float64 to float32 such that rounding once more to bfloat16 gives the nearest.

    What float32 cannot hold is cut off and gets an odd last bit: no longer a tie, nor what it was
    rounded to ("round to odd").
    """
    values = to_float32(doubles, "F64")
    bits = values.view(np.uint32)
    inexact, beyond = values != doubles, np.abs(values) > np.abs(doubles)
    bits -= beyond
    bits |= inexact
    return values


def choose(
    mask: npt.NDArray[np.bool_], one: npt.NDArray[Number], other: npt.NDArray[Number]
) -> npt.NDArray[Number]:
    """Return `one` where the mask is true and `other` elsewhere, bit for bit.

    Like `np.where`, without its branches: four times as fast on masks without a pattern.

    Args:
        mask: shape (n,).
        one: contiguous, shape (n,).
        other: contiguous, shape (n,), of the same type as `one`.

    >>> choose(np.array([True, False]), np.float32([1, 2]), np.float32([3, 4])).tolist()
    [1.0, 4.0]
    """
    bits = np.dtype(f"i{other.dtype.itemsize}")
    flips = np.negative(mask.view(np.int8)).astype(bits)  # all bits set where the mask is true
    flips &= one.view(bits) ^ other.view(bits)
    flips ^= other.view(bits)
    return flips.view(other.dtype)


def sum_of_squares(values: Floats) -> float:
    """Return Σ v², in float64, the same whatever the number of threads (no BLAS).

    >>> sum_of_squares(np.array([3, 4], np.float32))
    25.0
    """
    return float(np.square(values, dtype=np.float64).sum())


def sortable_keys(values: Floats) -> Keys:
    """Map float32 to uint32 so that a larger value has a larger key and equal values equal keys.

    Both zeros share one key.

    >>> sortable_keys(np.array([-2, -0.0, 0.0, 1e-9, 3], np.float32)).argsort().tolist()
    [0, 1, 2, 3, 4]
    """
    bits = values.view(np.int32)
    if bits.size and bits.min() >= 0:  # no sign to turn: the bits order as they are
        return (bits ^ np.int32(-(2**31))).view(np.uint32)
    bits = (values + np.float32(0)).view(np.int32)  # -0.0 + 0.0 is +0.0
    flips = bits >> np.int32(31)
    flips |= np.int32(-(2**31))
    flips ^= bits
    return flips.view(np.uint32)
