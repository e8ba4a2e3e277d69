"""Keep the largest singular components of every update matrix, drop the rest.

Every matrix keeps the share of its energy Σ σ² that the norm asks for; the last component is kept
in part, so that the norm is met exactly. Stacked matrices (experts) count one by one, vectors as
matrices of one row. One factor of every decomposition is kept in memory up to a limit and made
again beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sixtyfold.core.checkpoint_pair import PairedTensor
from sixtyfold.core.float_formats import Floats
from sixtyfold.core.tensor_names import Region
from sixtyfold.stages.restore.alternatives.family import Family, Update
from sixtyfold.stages.restore.plans import Plan, Repaired, between, one_side

Doubles = npt.NDArray[np.float64]

#: Bytes of decompositions that are kept in memory.
MOST_KEPT = 1 << 30


class Decomposed(NamedTuple):
    """The smaller side of the singular value decomposition of one matrix."""

    energies: Doubles
    """σ², largest first, shape (k,), k the smaller side."""
    vectors: Floats
    """One per column, in the same order, shape (k, k)."""

    def kept(self, share: float) -> Floats:
        """Return the part of every component that is kept, shape (k,).

        >>> Decomposed(np.array([3.0, 1.0]), np.eye(2, dtype=np.float32)).kept(0.75**0.5).tolist()
        [1.0, 0.0]
        """
        total = self.energies.sum()
        if total == 0.0:
            return np.ones(self.energies.size, np.float32)
        earlier = np.concatenate([[0.0], self.energies.cumsum()[:-1]])
        room = np.maximum(share**2 * total - earlier, 0.0)
        parts = np.divide(room, self.energies, out=np.zeros_like(room), where=self.energies > 0)
        kept: Floats = np.sqrt(np.minimum(parts, 1.0)).astype(np.float32)
        return kept


class Decompositions:
    """The decompositions of all matrices of a region, made on first use."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Decomposed]] = {}
        self._bytes = 0

    def of(self, name: str, matrices: Floats) -> list[Decomposed]:
        """Return those of one tensor.

        Args:
            name: of the tensor.
            matrices: its update, shape (stack, rows, columns).
        """
        if name in self._kept:
            return self._kept[name]
        found = [decompose(matrix) for matrix in matrices]
        size = sum(each.vectors.nbytes + each.energies.nbytes for each in found)
        if self._bytes + size <= MOST_KEPT:
            self._kept[name] = found
            self._bytes += size
        return found


class SvdPlan(NamedTuple):
    """base + the largest components of the update."""

    region: Region
    share: float
    decompositions: Decompositions

    @property
    def setting(self) -> str:
        """The energy that is kept."""
        return f"{100 * self.share**2:.3g}% of Σσ² kept"

    def chunks(self, tensor: PairedTensor) -> Iterator[Repaired]:
        """Go through the repaired weights of a tensor of the region."""
        if self.share in {0.0, 1.0}:
            for chunk in tensor.chunks():
                yield one_side(chunk, restored=self.share == 0.0)
            return
        kept = self._kept_update(tensor)
        for chunk in tensor.chunks():
            values = chunk.base + kept[chunk.start : chunk.start + chunk.base.size]
            yield between(chunk, values, tensor.tuned.dtype)

    def _kept_update(self, tensor: PairedTensor) -> Floats:
        """Return what remains of a tensor's update, flat."""
        matrices = update_matrices(tensor)
        found = self.decompositions.of(tensor.name, matrices)
        for matrix, each in zip(matrices, found, strict=True):
            parts = each.kept(self.share)
            used = each.vectors[:, parts > 0]
            if matrix.shape[0] >= matrix.shape[1]:
                matrix[:] = (matrix @ used * parts[parts > 0]) @ used.T
            else:
                matrix[:] = (used * parts[parts > 0]) @ (used.T @ matrix)
        return matrices.reshape(-1)


@dataclass(frozen=True)
class Svd(Family):
    """The components below a threshold dropped; the energy kept sets the norm, exactly."""

    def plans(self, update: Update, shares: Sequence[float]) -> list[Plan]:
        """Return the truncations that leave these shares of the norm."""
        shared = Decompositions()
        return [SvdPlan(update.region, share, shared) for share in shares]


def update_matrices(tensor: PairedTensor) -> Floats:
    """Return the update of a tensor as a stack of matrices, shape (stack, rows, columns)."""
    flat = np.empty(tensor.numel, np.float32)
    for chunk in tensor.chunks():
        flat[chunk.start : chunk.start + chunk.base.size] = chunk.update
    shape = () if tensor.base is None else tensor.base.shape
    if len(shape) < 2:
        return flat.reshape(1, 1, -1)
    return flat.reshape(-1, shape[-2], shape[-1])


def decompose(matrix: Floats) -> Decomposed:
    """Decompose one matrix by the eigenvectors of its smaller Gram matrix, in float64.

    Args:
        matrix: shape (rows, columns).
    """
    from scipy import linalg

    doubles = matrix.astype(np.float64)
    gram = doubles.T @ doubles if matrix.shape[0] >= matrix.shape[1] else doubles @ doubles.T
    energies, vectors = linalg.eigh(gram, overwrite_a=True, check_finite=False, driver="evd")
    return Decomposed(
        np.maximum(energies[::-1], 0.0), np.ascontiguousarray(vectors[:, ::-1], np.float32)
    )
