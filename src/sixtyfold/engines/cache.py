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
    _room: tuple[torch.Tensor, ...] | None = None

    @classmethod
    def adopt(cls, layer: DynamicLayer) -> RoomyLayer:
        """Take over what a layer of transformers holds."""
        mine = cls()
        mine.lazy_initialization(layer.keys, layer.values)
        mine.keys, mine.values = layer.keys, layer.values
        return mine

    @classmethod
    def stacked(
        cls, layers: Sequence[RoomyLayer], length: int, places: Sequence[torch.Tensor]
    ) -> RoomyLayer:
        """Return the rows of several layers as one, each padded on the left to `length` tokens.

        Args:
            layers: of equal heads.
            length: tokens of the longest.
            places: per layer, the numbers its rows get in the whole.
        """
        rows = sum(len(layer.keys) for layer in layers)
        sides = [(layer.keys, layer.values) for layer in layers]
        room = tuple(_new_room(held, rows, length) for held in sides[0])
        for held, where in zip(sides, places, strict=True):
            for place, own in zip(room, held, strict=True):
                before = length - own.shape[2]
                place[:, :, :before].index_fill_(0, where, 0.0)
                place[:, :, before:length].index_copy_(0, where, own)
        whole = cls()
        whole.lazy_initialization(*room)
        whole._use(room, length)
        return whole

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append [B, heads, new, D] and return all, as transformers asks."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past = self.get_seq_length()
        new = (key_states, value_states)
        length = past + key_states.shape[-2]
        room = self._room
        if room is None or length > room[0].shape[-2]:
            room = tuple(_new_room(each, len(each), length) for each in new)
            if past:
                for side, held in zip(room, (self.keys, self.values), strict=True):
                    side[:, :, :past] = held
        for side, each in zip(room, new, strict=True):
            side[:, :, past:length] = each
        self._use(room, length)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows only; they have a copy and room of their own then."""
        length = self.get_seq_length()
        room = []
        for held in (self.keys, self.values):
            side = _new_room(held, len(indices), length)
            torch.index_select(held, 0, indices, out=side[:, :, :length])
            room.append(side)
        self._use(tuple(room), length)

    def _use(self, room: tuple[torch.Tensor, ...], length: int) -> None:
        """Take the first tokens of a room for keys and values."""
        self._room = room
        self.keys, self.values = (side[:, :, :length] for side in room)


def _new_room(like: torch.Tensor, rows: int, length: int) -> torch.Tensor:
    """Return space for so many rows of `length` tokens and the next ones, not yet filled."""
    return like.new_empty((rows, like.shape[1], length + _ROOM, like.shape[3]))


def stacked(caches: Sequence[Any], length: int, places: Sequence[torch.Tensor]) -> Any:
    """Return the rows of several roomy caches as one; see `RoomyLayer.stacked`."""
    whole = copy.copy(caches[0])
    columns = zip(*(cache.layers for cache in caches), strict=True)
    whole.layers = [RoomyLayer.stacked(layers, length, places) for layers in columns]
    return whole


def with_room(cache: Any) -> Any:
    """Give the layers of a cache room, where they are of the plain growing kind."""
    cache.layers = [
        RoomyLayer.adopt(layer) if type(layer) is DynamicLayer and layer.is_initialized else layer
        for layer in cache.layers
    ]
    return cache
