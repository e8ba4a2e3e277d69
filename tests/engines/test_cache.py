from __future__ import annotations

import copy

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.cache_utils import (
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

from sixtyfold.engines.cache import RoomyLayer, with_room

HEADS, SIZE = 2, 3
ACTIONS = st.lists(
    st.one_of(st.integers(1, 40), st.lists(st.integers(0, 1), min_size=2, max_size=4)), max_size=8
)


def states(rows: int, tokens: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, HEADS, tokens, SIZE, generator=torch.Generator().manual_seed(seed))


@given(ACTIONS)
def test_holds_what_transformers_own_layer_holds(actions: list[int | list[int]]) -> None:
    theirs = DynamicLayer()
    theirs.update(states(2, 4, 0), states(2, 4, 1))
    own = RoomyLayer.adopt(theirs)
    kept: list[tuple[RoomyLayer, torch.Tensor]] = []
    for number, action in enumerate(actions):
        if isinstance(action, list):
            # A fork: the one that is left behind must not change.
            kept.append((own, own.keys.clone()))
            own, theirs = copy.copy(own), copy.copy(theirs)
            for layer in (own, theirs):
                layer.batch_select_indices(torch.tensor(action))
            continue
        rows = len(theirs.keys)
        new = states(rows, action, 2 * number), states(rows, action, 2 * number + 1)
        for mine, other in zip(own.update(*new), theirs.update(*new), strict=True):
            torch.testing.assert_close(mine, other, atol=0, rtol=0)
        assert own.get_seq_length() == theirs.get_seq_length()
    for layer, keys in kept:
        torch.testing.assert_close(layer.keys, keys, atol=0, rtol=0)


def test_tokens_are_written_into_the_room_that_is_there() -> None:
    own = RoomyLayer()
    first, _ = own.update(states(2, 4, 0), states(2, 4, 1))
    then, _ = own.update(states(2, 1, 2), states(2, 1, 3))
    assert first.data_ptr() == then.data_ptr()


def test_layers_of_another_kind_stay() -> None:
    cache = DynamicCache()
    cache.layers = [DynamicLayer(), DynamicSlidingWindowLayer(sliding_window=4), DynamicLayer()]
    for layer in cache.layers[:2]:
        layer.update(states(1, 2, 0), states(1, 2, 1))
    kinds = [type(layer) for layer in with_room(cache).layers]
    assert kinds == [RoomyLayer, DynamicSlidingWindowLayer, DynamicLayer]
