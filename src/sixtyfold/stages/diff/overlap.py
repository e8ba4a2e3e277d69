"""How far the updates of two tuned models of one base are alike.

Both relative changes divide by the same base weights, so the weights of small base are at the top
of both whatever was learned. The figure to compare with is the same overlap after the second
update has been shuffled within each tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from sixtyfold.core.bit_histogram import Counts
from sixtyfold.core.checkpoint_pair import CheckpointPair, PairedTensor
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.float_formats import Floats
from sixtyfold.core.progress import progress_bar
from sixtyfold.core.tensor_names import canonical
from sixtyfold.stages.diff.cuts import Classes, Sorter, find_cuts
from sixtyfold.stages.diff.nulls import relative_change, shuffled_update

Signs = npt.NDArray[np.int8]
MEASURES = ("relative", "absolute")
_PASSES = 3


class _Updates(NamedTuple):
    """One run of weights in both models."""

    one: Floats
    other: Floats
    shuffled: Floats
    """The updates of the other model in a random order of their tensor."""
    scores: dict[str, tuple[Floats, Floats, Floats]]
    """Per measure: of these three updates."""

    @property
    def signs(self) -> Signs:
        """Products of the signs of `one` and `other`."""
        return _signs(self.one) * _signs(self.other)

    @property
    def null_signs(self) -> Signs:
        """Products of the signs of `one` and `shuffled`."""
        return _signs(self.one) * _signs(self.shuffled)


def _signs(values: Floats) -> Signs:
    return (values > 0).view(np.int8) - (values < 0).view(np.int8)


class Overlap(NamedTuple):
    """What two updates have in common."""

    table: pl.DataFrame
    totals: dict[str, float | int | None]


def matched(
    one: Sequence[PairedTensor], other: CheckpointPair
) -> list[tuple[PairedTensor, PairedTensor]]:
    """Return each tensor with the second tuned model's, both compared with one base.

    Raises:
        BadInput: the second model lacks a tensor or has it in another shape.
    """
    by_name = {canonical(name): tensor for name, tensor in other.tensors.items()}
    pairs = []
    for tensor in one:
        twin = by_name.get(canonical(tensor.name))
        if twin is None or twin.numel != tensor.numel:
            raise BadInput(
                f"--other {other.tuned.directory} has no tensor '{tensor.name}' of this shape; "
                "both tuned models must come from one base"
            )
        pairs.append((tensor, twin))
    return pairs


def overlap(
    tensors: Sequence[tuple[PairedTensor, PairedTensor]], tops: Sequence[float], seed: int
) -> Overlap:
    """Compare two updates over a region.

    Args:
        tensors: what `matched` returns.
        tops: percentages, ascending.
        seed: of the permutation.

    Returns:
        a table with one row per measure and percentage: `weights` (how many the top has),
        `common` (how many are in both tops), `share_common` (of the top), `jaccard` (common over
        all that are in one of them), `sign_agreement` (share of the common ones, changed in both,
        that moved in one direction; null where there is none), and the same three with the prefix
        `null_` for the shuffled update; totals over all weights of the region. All are null where
        one of the models changed fewer weights than the top has: the rest of such a top is
        unchanged weights in the order of their names, the same ones in both.

    Raises:
        Corrupted: a weight of the second model is not a finite number.
    """
    numel = sum(tensor.numel for tensor, _ in tensors)
    wanted = [round(top / 100 * numel) for top in tops]
    with progress_bar("overlap", _PASSES * len(tensors)) as advance:

        def updates() -> Iterator[_Updates]:
            for one, other in tensors:
                yield from _updates(one, other, seed)
                advance()

        cuts = find_cuts(lambda: (_flat(each) for each in updates()), wanted)
        sorters = iter([Sorter(each) for each in cuts])
        by_measure = {name: _Counted.of([next(sorters) for _ in range(3)]) for name in MEASURES}
        sums = _Sums()
        for each in updates():
            sums.add(each)
            for name, counted in by_measure.items():
                counted.add(each, each.scores[name])
    totals = sums.totals(numel)
    rows = [
        {
            "measure": name,
            "top_percent": top,
            "weights": number,
            **(counted.figures(position) if number <= sums.least_changed else {}),
        }
        for name, counted in by_measure.items()
        for position, (top, number) in enumerate(zip(tops, wanted, strict=True))
    ]
    return Overlap(pl.DataFrame(rows, OVERLAP_SCHEMA), totals)


def _updates(one: PairedTensor, other: PairedTensor, seed: int) -> Iterator[_Updates]:
    for chunk in one.chunks():
        stop = chunk.start + chunk.base.size
        second = other.read(chunk.start, stop)
        own, twin = chunk.update, second.update
        if not np.isfinite(twin.sum(dtype=np.float64)):
            raise Corrupted(f"tensor '{other.name}' holds NaN or infinite weights in --other")
        shuffled = shuffled_update(other, chunk.start, twin, seed)
        scores = {
            "relative": (
                relative_change(chunk.base, own),
                relative_change(second.base, twin),
                relative_change(second.base, shuffled),
            ),
            "absolute": (np.abs(own), np.abs(twin), np.abs(shuffled)),
        }
        yield _Updates(own, twin, shuffled, scores)
        other.release(chunk.start, stop)


def _flat(updates: _Updates) -> list[Floats]:
    return [values for name in MEASURES for values in updates.scores[name]]


_NAMES = ("common", "share_common", "jaccard", "sign_agreement")
OVERLAP_SCHEMA = pl.Schema(
    {
        "measure": pl.String(),
        "top_percent": pl.Float64(),
        "weights": pl.Int64(),
        "common": pl.Int64(),
        **{name: pl.Float64() for name in _NAMES[1:]},
        **{f"null_{name}": pl.Float64() for name in _NAMES[1:]},
    }
)


class _Joint:
    """Weights by the tops they are in, in two rankings, and by how their signs compare."""

    def __init__(self, tops: int) -> None:
        self._side = tops + 1
        self._counts: Counts = np.zeros((self._side, self._side, 3), np.int64)

    def add(self, first: Classes, second: Classes, product: Signs) -> None:
        """Take up weights.

        Args:
            first: smallest top of each weight in one ranking.
            second: the same in the other.
            product: of the signs of both updates: -1, 0 (one did not change) or 1.
        """
        cell = first.astype(np.int32)
        for factor, more in ((self._side, second), (3, product)):
            cell *= factor
            cell += more
        self._counts += np.bincount(cell + 1, minlength=self._counts.size).reshape(
            self._counts.shape
        )

    def figures(self, top: int) -> dict[str, Any]:
        """Return the figures of the top with this number."""
        either_sign = self._counts.sum(axis=2)
        against, unchanged, agree = (
            int(each) for each in self._counts[: top + 1, : top + 1].sum(axis=(0, 1))
        )
        common, size = against + unchanged + agree, int(either_sign[: top + 1].sum())
        either = size + int(either_sign[:, : top + 1].sum()) - common
        values = (
            common,
            _share(common, size),
            _share(common, either),
            _share(agree, agree + against),
        )
        return dict(zip(_NAMES, values, strict=True))


class _Counted(NamedTuple):
    """The joint counts of one measure: of the two updates, and with the second shuffled."""

    sorters: list[Sorter]
    found: _Joint
    null: _Joint

    @classmethod
    def of(cls, sorters: list[Sorter]) -> _Counted:
        tops = sorters[0].tops
        return cls(sorters, _Joint(tops), _Joint(tops))

    def add(self, updates: _Updates, scores: tuple[Floats, Floats, Floats]) -> None:
        one, other, shuffled = (
            sorter.classes(values) for sorter, values in zip(self.sorters, scores, strict=True)
        )
        self.found.add(one, other, updates.signs)
        self.null.add(one, shuffled, updates.null_signs)

    def figures(self, top: int) -> dict[str, Any]:
        null = self.null.figures(top)
        del null["common"]
        return {**self.found.figures(top), **{f"null_{name}": null[name] for name in null}}


class _Sums:
    """Sums over all weights of the region."""

    def __init__(self) -> None:
        self._values: dict[str, float] = dict.fromkeys(
            ("one", "other", "both", "agree", "null_both", "null_agree"), 0
        )
        self._dots: npt.NDArray[np.float64] = np.zeros(4)

    def add(self, updates: _Updates) -> None:
        one, other, shuffled = (each.astype(np.float64) for each in updates[:3])
        products = [one * other, one * shuffled]
        self._dots += [*(each.sum() for each in products), (one * one).sum(), (other * other).sum()]
        for name, values in (("one", one), ("other", other)):
            self._values[name] += int(np.count_nonzero(values))
        for prefix, signs in (("", updates.signs), ("null_", updates.null_signs)):
            self._values[f"{prefix}both"] += int(np.count_nonzero(signs))
            self._values[f"{prefix}agree"] += int(np.count_nonzero(signs > 0))

    @property
    def least_changed(self) -> int:
        """How many weights the model that changed fewer changed."""
        return int(min(self._values["one"], self._values["other"]))

    def totals(self, numel: int) -> dict[str, float | int | None]:
        dot, null_dot, one, other = (float(each) for each in self._dots)
        norms = (one * other) ** 0.5
        values = self._values
        return {
            "weights": numel,
            "changed": int(values["one"]),
            "changed_other": int(values["other"]),
            "changed_both": int(values["both"]),
            "sign_agreement": _share(values["agree"], values["both"]),
            "null_sign_agreement": _share(values["null_agree"], values["null_both"]),
            "cosine": _share(dot, norms),
            "null_cosine": _share(null_dot, norms),
        }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
