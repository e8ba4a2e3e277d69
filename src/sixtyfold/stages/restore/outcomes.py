"""What goes into the checkpoints of one pass: one plan, or nested cuts of the same rankings.

The writer asks for the weights of some tensors in turn and gets, for every run of weights, one
piece a checkpoint. Cuts of one ranking share its scores, so seven checkpoints cost one ranking.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np

from sixtyfold.core.checkpoint_pair import Chunk, PairedTensor
from sixtyfold.core.float_formats import Array, Keys, choose, sum_of_squares
from sixtyfold.core.tensor_names import Region
from sixtyfold.core.threads import in_order
from sixtyfold.stages.restore.names import RuleName
from sixtyfold.stages.restore.plans import Plan, stored_squares
from sixtyfold.stages.restore.threshold import Aim, Cut, Ranking, cut, share_count

Scope = Literal["model", "layer", "tensor"]
"""What weights are ranked together, each such group giving the same share of its weights."""


class Piece(NamedTuple):
    """A run of weights of one checkpoint."""

    raw: Array
    """The weights in the tuned dtype, as they are stored."""
    restored: int
    moved: int
    """Restored weights whose tuned value differed."""
    inexact: int
    """Base weights that the tuned dtype cannot hold exactly."""
    remaining: float
    """Σ (weight − base)² of the stored weights, float64."""


class Outcome(Protocol):
    """One or several repaired checkpoints."""

    @property
    def region(self) -> Region:
        """The weights that are looked at; all others stay tuned."""
        ...

    def pieces(self, tensors: Sequence[PairedTensor]) -> Iterator[list[Piece]]:
        """Go through tensors of the region in the order given, run by run.

        Yields:
            one piece a checkpoint; together the weights that both models have, in flat order.
        """
        ...


class OnePlan(NamedTuple):
    """A checkpoint made by one plan."""

    plan: Plan

    @property
    def region(self) -> Region:
        """The plan's."""
        return self.plan.region

    def pieces(self, tensors: Sequence[PairedTensor]) -> Iterator[list[Piece]]:
        """Go through the plan's runs; see `Outcome`."""
        for tensor in tensors:
            for found in self.plan.chunks(tensor):
                remaining = stored_squares(found, tensor.tuned.dtype)
                inexact = found.chunk.inexact
                yield [Piece(found.raw, found.restored, found.moved, inexact, remaining)]


class _Group(NamedTuple):
    """A ranking and its cuts, one a checkpoint."""

    ranking: Ranking
    cuts: list[Cut]


class NestedCuts(NamedTuple):
    """Checkpoints that put the first weights of the same rankings back, different shares of them.

    Restored weights are the base's and the others the tuned model's, bit for bit.
    """

    region: Region
    groups: Mapping[str, _Group]
    """By tensor name."""

    @classmethod
    def of(
        cls,
        region: Region,
        rankings: Sequence[Ranking],
        percents: Sequence[float],
    ) -> NestedCuts:
        """Cut every ranking at the same percentages of its weights.

        Raises:
            Corrupted: a weight is not a finite number.
        """
        groups = []
        for ranking in rankings:
            aims = [Aim(number=share_count(percent, ranking.numel)) for percent in percents]
            groups.append((ranking, cut(ranking, aims)))
        return cls.made_of(region, groups)

    @classmethod
    def made_of(cls, region: Region, groups: Sequence[tuple[Ranking, list[Cut]]]) -> NestedCuts:
        """Put rankings and their cuts together, one cut a checkpoint."""
        named = {}
        for ranking, cuts in groups:
            group = _Group(ranking, cuts)
            named.update({tensor.name: group for tensor in ranking.tensors})
        return cls(region, named)

    def pieces(self, tensors: Sequence[PairedTensor]) -> Iterator[list[Piece]]:
        """Go through the runs of all checkpoints, on several threads; see `Outcome`."""
        spans = ((tensor, *span) for tensor in tensors for span in tensor.spans())
        return in_order(self._pieces, spans)

    def _pieces(self, span: tuple[PairedTensor, int, int]) -> list[Piece]:
        tensor, start, stop = span
        ranking, cuts = self.groups[tensor.name]
        chunk, keys = ranking.read(tensor, start, stop)
        found = _nested_pieces(chunk, keys, cuts, tensor.name)
        tensor.release(start, stop)
        return found


def rankings_of(
    tensors: Sequence[PairedTensor], rule: RuleName, seed: int, scope: Scope
) -> list[Ranking]:
    """Return the rankings of a region: one, one a layer, or one a tensor.

    With `layer`, the tensors outside the layers are ranked together.
    """
    groups: dict[str | int | None, list[PairedTensor]] = {}
    for tensor in tensors:
        group = {"model": None, "layer": tensor.place.layer, "tensor": tensor.name}[scope]
        groups.setdefault(group, []).append(tensor)
    return [Ranking(group, rule, seed) for group in groups.values()]


def _nested_pieces(chunk: Chunk, keys: Keys, cuts: Sequence[Cut], tensor: str) -> list[Piece]:
    """Make the piece of every cut."""
    update = chunk.update
    differs = chunk.base != chunk.tuned
    pieces = []
    for each in cuts:
        mask = each.before(keys, tensor, chunk.start)
        pieces.append(
            Piece(
                choose(mask, chunk.base_raw, chunk.tuned_raw),
                int(np.count_nonzero(mask)),
                int(np.count_nonzero(differs & mask)),
                chunk.inexact,
                sum_of_squares(choose(mask, np.zeros_like(update), update)),
            )
        )
    return pieces
