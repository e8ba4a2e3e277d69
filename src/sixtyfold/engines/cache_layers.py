"""A key/value cache whose room is taken once, so that a step appends instead of copying."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

ROOM = 40  # tokens of room behind a prompt; grows by the same when it is used up


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer: views on buffers with room for more tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.key_room: torch.Tensor | None = None
        self.value_room: torch.Tensor | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the states of new tokens and return all states."""
        start = self.get_seq_length()
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        stop = start + key_states.shape[-2]
        self.key_room = _with_room(self.key_room, key_states, start, stop)
        self.value_room = _with_room(self.value_room, value_states, start, stop)
        self.keys = self.key_room[..., :stop, :]
        self.values = self.value_room[..., :stop, :]
        return self.keys, self.values

    def rows(self, index: torch.Tensor) -> RoomyLayer:
        """Return a layer that holds the given rows; this one stays as it is."""
        layer = RoomyLayer()
        layer.lazy_initialization(self.keys, self.values)
        stop = self.get_seq_length()
        layer.key_room = _rows_with_room(self.keys, index, stop)
        layer.value_room = _rows_with_room(self.values, index, stop)
        layer.keys = layer.key_room[..., :stop, :]
        layer.values = layer.value_room[..., :stop, :]
        return layer


def _with_room(
    room: torch.Tensor | None, new: torch.Tensor, start: int, stop: int
) -> torch.Tensor:
    """Return a buffer in which tokens start..stop are `new`."""
    if room is None or room.shape[-2] < stop:
        larger = new.new_empty((*new.shape[:-2], stop + ROOM, new.shape[-1]))
        if room is not None:
            larger[..., :start, :] = room[..., :start, :]
        room = larger
    room[..., start:stop, :] = new
    return room


def _rows_with_room(states: torch.Tensor, index: torch.Tensor, stop: int) -> torch.Tensor:
    shape = (len(index), *states.shape[1:-2], stop + ROOM, states.shape[-1])
    room = states.new_empty(shape)
    room[..., :stop, :] = states[index]
    return room


def roomy_cache(config: Any) -> Any:
    """Return an empty cache for a model.

    Models whose layers keep something else than all past keys and values (sliding windows, state
    spaces) get the cache that transformers makes for them.
    """
    cache = DynamicCache(config=config)
    plain = [type(layer) is DynamicLayer for layer in cache.layers]
    if plain and all(plain):
        cache.layers = [RoomyLayer() for _ in cache.layers]
    return cache


def pick_rows(cache: Any, index: torch.Tensor) -> Any:
    """Return a cache of the given rows; the original stays as it is."""
    picked = copy.copy(cache)
    picked.layers = []
    for layer in cache.layers:
        if isinstance(layer, RoomyLayer):
            picked.layers.append(layer.rows(index))
        else:
            other = copy.copy(layer)
            other.batch_select_indices(index)
            picked.layers.append(other)
    return picked
