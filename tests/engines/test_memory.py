"""Rows that fit: more memory never fewer, longer rows never more, always at least one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.engines import memory
from sixtyfold.engines.memory import MOST_ON_CPU, MOST_ON_GPU, ran_out_of_memory, rows_that_fit

GIB = 1 << 30
SIZES = st.integers(1 << 20, 4 << 40)
LENGTHS = st.integers(1, 1 << 17)
KINDS = st.sampled_from(["cpu", "cuda"])


class Weight:
    """A weight that takes no memory here."""

    def __init__(self, kind: str, numel: int = 8 * 10**9, bytes_each: int = 2) -> None:
        self.device = torch.device(kind)
        self.numel = lambda: numel
        self.element_size = lambda: bytes_each


def model(weight: Weight, **config: Any) -> SimpleNamespace:
    """An 8B model's shape, with the text's part of the configuration asked for as such."""
    shape = {
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "hidden_size": 4096,
        "vocab_size": 128_256,
        **config,
    }
    outer = SimpleNamespace(get_text_config=lambda: SimpleNamespace(**shape))
    return SimpleNamespace(config=outer, parameters=lambda: iter([weight]))


def fitting(kind: str, whole: int, tokens: int, **config: Any) -> int:
    """Rows on a machine, or a GPU, of so many bytes."""
    sizes = {"SC_PHYS_PAGES": whole // 4096, "SC_PAGE_SIZE": 4096}
    properties = SimpleNamespace(total_memory=whole)
    with (
        mock.patch.object(memory.os, "sysconf", sizes.__getitem__),
        mock.patch.object(torch.cuda, "get_device_properties", return_value=properties),
    ):
        return rows_that_fit(model(Weight(kind), **config), tokens)


def test_a_case_computed_by_hand() -> None:
    """Two copies of keys and values, and logits in bfloat16 and twice in float32."""
    row = 2 * (2 * 32 * 8 * 128 * 48 * 2) + 128_256 * (2 + 8)
    assert fitting("cpu", 8 * GIB, 48) == 2 * GIB // row
    free = 24 * GIB - 16 * 10**9
    assert fitting("cuda", 24 * GIB, 48) == free // 2 // row


@given(KINDS, SIZES, SIZES, LENGTHS)
def test_more_memory_takes_no_fewer_rows(kind: str, one: int, two: int, tokens: int) -> None:
    few, many = (fitting(kind, each, tokens) for each in sorted((one, two)))
    assert 1 <= few <= many <= (MOST_ON_CPU if kind == "cpu" else MOST_ON_GPU)


@given(KINDS, SIZES, LENGTHS, LENGTHS)
def test_longer_rows_are_no_more(kind: str, whole: int, one: int, two: int) -> None:
    short, long = (fitting(kind, whole, tokens) for tokens in sorted((one, two)))
    assert short >= long


@given(KINDS, SIZES, LENGTHS, st.sampled_from([1, 2, 4, 8, 16]))
def test_fewer_heads_of_keys_take_no_fewer_rows(
    kind: str, whole: int, tokens: int, heads: int
) -> None:
    shared = fitting(kind, whole, tokens, num_key_value_heads=heads)
    assert shared >= fitting(kind, whole, tokens, num_key_value_heads=None)


def test_a_model_that_leaves_no_room_still_runs_row_by_row() -> None:
    assert fitting("cuda", 8 * GIB, 48) == 1
    assert fitting("cpu", 64 << 20, 100_000) == 1


def test_heads_may_have_a_size_of_their_own() -> None:
    wide, usual = (fitting("cpu", 8 * GIB, 480, head_dim=size) for size in (256, 128))
    assert wide < usual == fitting("cpu", 8 * GIB, 480)


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("shapes do not match"), False),
    ],
)
def test_only_memory_is_taken_for_memory(error: RuntimeError, ran_out: bool) -> None:
    assert ran_out_of_memory(error) is ran_out
