"""A weight tensor with a low-rank update, computed for just the run of weights that is asked for.

The update is scaling · (B·A) in float32 (arXiv 2106.09685, section 4.1). The products are summed
rank by rank, without a matrix library, so a weight has the same bits on every machine and however
the tensor is cut into runs. Rounded once, to the format of the merged tensor.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sixtyfold.core.float_formats import Array, Floats, convert, to_float32
from sixtyfold.core.weight_files import Weights, stored_size

#: Weights summed together; only a matter of speed.
_IN_CACHE = 1 << 16


class Factors(NamedTuple):
    """The two small matrices of one module."""

    module: str
    a: Weights
    """Shape (rank, inputs)."""
    b: Weights
    """Shape (outputs, rank)."""
    scaling: float
    transposed: bool
    """Whether the weight is stored as (inputs, outputs)."""

    def update(self, start: int, stop: int, columns: int) -> Floats:
        """Return scaling · (B·A) for weights start..stop of the flattened tensor, float32.

        Args:
            start: flat index of the first weight.
            stop: flat index after the last.
            columns: length of a row of the tensor.
        """
        first, last = start // columns, -(-stop // columns)
        a, b = (each.raw().reshape(each.shape) for each in (self.a, self.b))
        left, right = (a, b.T) if self.transposed else (b.T, a)
        lefts = to_float32(np.ascontiguousarray(left[:, first:last]), self._of_left.dtype)
        rights = to_float32(np.ascontiguousarray(right), self._of_right.dtype)
        total = np.zeros((last - first, columns), np.float32)
        block = max(1, _IN_CACHE // columns)
        product = np.empty((block, columns), np.float32)
        for row in range(0, last - first, block):
            part = total[row : row + block]
            for own, other in zip(lefts[:, row : row + block], rights, strict=True):
                part += np.multiply(own[:, None], other, out=product[: len(part)])
        total *= np.float32(self.scaling)
        skipped = start - first * columns
        return total.ravel()[skipped : skipped + stop - start]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the update, the tensor's."""
        inputs, outputs = self.a.shape[1], self.b.shape[0]
        return (inputs, outputs) if self.transposed else (outputs, inputs)

    @property
    def _of_left(self) -> Weights:
        return self.a if self.transposed else self.b

    @property
    def _of_right(self) -> Weights:
        return self.b if self.transposed else self.a


class MergedTensor(NamedTuple):
    """A tensor of the base, or one that the adapter stores whole, with the adapter's update."""

    name: str
    dtype: str
    """The base's."""
    stored: Weights
    factors: Factors | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the merged tensor."""
        return self.stored.shape

    @property
    def numel(self) -> int:
        """Number of weights."""
        return self.stored.numel

    @property
    def nbytes(self) -> int:
        """Size in a safetensors file."""
        return stored_size(self.shape, self.dtype)

    def raw(self, start: int = 0, stop: int | None = None) -> Array:
        """Return weights start..stop of the flattened merged tensor."""
        stop = self.numel if stop is None else stop
        own = self.stored.raw(start, stop)
        if self.factors is None or stop <= start:
            return convert(own, self.stored.dtype, self.dtype)
        update = self.factors.update(start, stop, self.shape[1])
        if self.stored.dtype == "F64":
            return convert(np.add(own, update, dtype=np.float64), "F64", self.dtype)
        return convert(to_float32(own, self.stored.dtype) + update, "F32", self.dtype)

    def release(self, start: int, stop: int) -> None:
        """Let the system drop what was read of weights start..stop."""
        self.stored.release(start, stop)
