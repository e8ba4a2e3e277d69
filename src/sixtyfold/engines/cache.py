"""Keys and values with room for the next tokens.

transformers' own layer copies all keys and values for every token. Here a token is written behind
the others, and only when the room is used up everything is copied into a larger one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

_ROOM = 16  # tokens


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer; `keys` and `values` show the used part of the room."""

    keys: torch.Tensor
    values: torch.Tensor
    _room: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def adopt(cls, layer: DynamicLayer) -> RoomyLayer:
        """Take over what a layer of transformers holds."""
        mine = cls()
        mine.lazy_initialization(layer.keys, layer.values)
        mine.keys, mine.values = layer.keys, layer.values
        return mine

    @classmethod
    def stacked(cls, layers: Sequence[RoomyLayer], length: int) -> RoomyLayer:
        """Return the rows of several layers as one, each padded on the left to `length` tokens."""
        first = layers[0]
        rows = sum(len(layer.keys) for layer in layers)
        heads, size = first.keys.shape[1], first.keys.shape[3]
        room = (
            first.keys.new_zeros((rows, heads, length + _ROOM, size)),
            first.values.new_zeros((rows, heads, length + _ROOM, first.values.shape[3])),
        )
        start = 0
        for layer in layers:
            own = slice(start, start + len(layer.keys))
            for place, held in zip(room, (layer.keys, layer.values), strict=True):
                place[own, :, length - held.shape[2] : length] = held
            start = own.stop
        whole = cls()
        whole.lazy_initialization(first.keys, first.values)
        whole._room = room
        whole.keys, whole.values = (place[:, :, :length] for place in room)
        return whole

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append [B, heads, new, D] and return all, as transformers asks."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past = self.get_seq_length()
        length = past + key_states.shape[-2]
        if self._room is None or length > self._room[0].shape[-2]:
            self._room = (
                _roomy(self.keys, key_states, past, length + _ROOM),
                _roomy(self.values, value_states, past, length + _ROOM),
            )
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, past:length] = new
        self.keys, self.values = (room[:, :, :length] for room in self._room)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows only; they have a copy of their own then."""
        super().batch_select_indices(indices)
        self._room = None


def _roomy(held: torch.Tensor, new: torch.Tensor, past: int, length: int) -> torch.Tensor:
    room = new.new_empty((*new.shape[:2], length, new.shape[-1]))
    if past:
        room[:, :, :past] = held
    return room


def stacked(caches: Sequence[Any], length: int) -> Any:
    """Return the rows of several roomy caches as one of `length` tokens, padded on the left."""
    whole = copy.copy(caches[0])
    columns = zip(*(cache.layers for cache in caches), strict=True)
    whole.layers = [RoomyLayer.stacked(layers, length) for layers in columns]
    return whole


def with_room(cache: Any) -> Any:
    """Give the layers of a cache room, where they are of the plain growing kind."""
    cache.layers = [
        RoomyLayer.adopt(layer) if type(layer) is DynamicLayer and layer.is_initialized else layer
        for layer in cache.layers
    ]
    return cache
