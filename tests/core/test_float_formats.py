"""Rounding between formats against exact fractions."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sixtyfold.core.float_formats import RAW_TYPES, convert, sortable_keys, to_float32

DOUBLES = st.floats(width=64, allow_nan=False, allow_infinity=False)
HALF = 1 + 2.0**-8  # between two neighbours of bfloat16


def nearest_bfloat16(value: float) -> int:
    """Bits of the nearest bfloat16, ties to even, found among the neighbours of a cut."""
    cut = int(np.abs(to_float32(np.array([value]), "F64"))[0].view(np.uint32)) >> 16
    best = []
    for bits in range(max(0, cut - 2), min(0x7F80, cut + 2) + 1):
        exact = Fraction(2) ** 128 if bits == 0x7F80 else Fraction(float(of_bits(bits)))
        best.append((abs(exact - abs(Fraction(value))), bits & 1, bits))
    return min(best)[2] | (0x8000 if np.signbit(value) else 0)


def of_bits(bits: int) -> np.float32:
    return to_float32(np.array([bits], np.uint16), "BF16")[0]


@given(DOUBLES)
@example(HALF)
@example(HALF + 2.0**-40)  # rounded to float32 first it would be a tie
@example(-HALF - 2.0**-40)
@example(HALF - 2.0**-40)
@example(3 * HALF)
@example(1e300)
@example(3.4e38)
@example(-3.396e38)
@example(1e-40)
@example(1e-300)
@example(-0.0)
def test_float64_is_rounded_to_bfloat16_once(value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = convert(np.array([value]), "F64", "BF16").tolist()
    assert found == nearest_bfloat16(value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("source", ["F64", "F32", "F16"])
def test_what_is_no_number_stays_so(source, value):
    raw = np.array([value], RAW_TYPES[source])
    found = to_float32(convert(raw, source, "BF16"), "BF16")
    np.testing.assert_array_equal(found, np.float32([value]))


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=30))
def test_keys_order_like_values(values):
    floats = np.float32(values)
    keys = sortable_keys(floats)
    for one in range(len(values)):
        assert np.array_equal(keys > keys[one], floats > floats[one])
        assert np.array_equal(keys == keys[one], floats == floats[one])
