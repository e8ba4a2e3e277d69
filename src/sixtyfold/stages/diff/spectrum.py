"""The singular values of a matrix's update: is it of low rank?

Two ways, chosen by the shorter side. Up to `EXACT_SIDE` the Gram matrix of the update is summed in
float64 and its eigenvalues are all found. Above, a block Krylov subspace from a random start
(Musco and Musco, arXiv 1504.05477) is widened until the shares are known closely enough; the bound
on what they may be too low by is reported. The matrix is read in bands of rows, never held whole,
except where it has few rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from sixtyfold.core.bit_histogram import Masses
from sixtyfold.core.checkpoint_pair import PairedTensor
from sixtyfold.core.float_formats import Floats, sum_of_squares
from sixtyfold.core.random_streams import random_stream

RANKS = (1, 2, 4, 8, 16, 32, 64)
#: Shorter sides up to this are decomposed exactly.
EXACT_SIDE = 2048
#: Weights of a band of rows.
_BAND = 1 << 22
_WIDTH = 96
_MOST_BLOCKS = 10
#: Blocks are added until no share can be too low by more than this.
_TOLERANCE = 0.001

Matrix = npt.NDArray[np.float64]

SPECTRUM_SCHEMA = pl.Schema(
    {
        "tensor": pl.String(),
        "layer": pl.Int32(),
        "block": pl.String(),
        "rows": pl.Int64(),
        "columns": pl.Int64(),
        "sum_squared": pl.Float64(),
        "largest": pl.Float64(),
        "stable_rank": pl.Float64(),
        "stable_rank_chance": pl.Float64(),
        "error": pl.Float64(),
        **{f"share_{rank}": pl.Float64() for rank in RANKS},
        **{f"chance_{rank}": pl.Float64() for rank in RANKS},
    }
)


class Spectrum(NamedTuple):
    """The largest squared singular values of a matrix."""

    squares: Masses
    """Descending; all of them, or the first `RANKS[-1]`."""
    total: float
    """Sum of all squared entries."""
    error: float
    """What the share of any rank may be too low by, 0..1; 0 where all values were found."""

    def share(self, rank: int) -> float | None:
        """Return the share of the squared entries that the best matrix of a rank explains."""
        return float(self.squares[:rank].sum()) / self.total if self.total else None


def is_matrix(tensor: PairedTensor) -> bool:
    """Whether a tensor has two sides longer than one."""
    return len(tensor.tuned.shape) == 2 and min(_sides(tensor)) > 1


def spectrum_row(tensor: PairedTensor, seed: int) -> dict[str, Any]:
    """Return one row of the table `spectrum`.

    Args:
        tensor: a matrix.
        seed: of the random start.
    """
    found = spectrum(tensor, seed)
    rows, columns = _sides(tensor)
    chance = chance_shares(rows, columns)
    changed = found.total > 0
    return {
        "tensor": tensor.name,
        "layer": tensor.place.layer,
        "block": tensor.place.block,
        "rows": rows,
        "columns": columns,
        "sum_squared": found.total,
        "largest": float(np.sqrt(found.squares[0])),
        "stable_rank": found.total / float(found.squares[0]) if changed else None,
        "stable_rank_chance": chance_stable_rank(rows, columns),
        "error": found.error,
        **{f"share_{rank}": found.share(rank) for rank in RANKS},
        **{f"chance_{rank}": share for rank, share in zip(RANKS, chance, strict=True)},
    }


def spectrum(tensor: PairedTensor, seed: int) -> Spectrum:
    """Find the singular values of the update of a matrix; see the module for how."""
    rows, columns = _sides(tensor)
    if min(rows, columns) > EXACT_SIDE:
        return _krylov(tensor, seed)
    gram = _row_gram(tensor) if rows < columns else _column_gram(tensor)
    total = float(np.trace(gram))
    squares = np.linalg.eigvalsh(gram)[::-1]
    return Spectrum(np.maximum(squares, 0.0), total, 0.0)


def chance_stable_rank(rows: int, columns: int) -> float:
    """Return the stable rank of a large matrix of independent entries.

    Marchenko and Pastur (1967): with c the shorter over the longer side, the largest squared
    singular value is (1 + √c)² times the mean of a shortest side's worth.
    """
    short, long = sorted((rows, columns))
    return short / (1 + math.sqrt(short / long)) ** 2


def chance_shares(rows: int, columns: int) -> list[float]:
    """Return what the ranks `RANKS` explain of a large matrix of independent entries.

    Marchenko and Pastur's density with λ = 1 + c + 2√c cos θ: the values from θ = 0 on are a share
    (2/π) ∫ sin²θ / λ dθ of all values and hold (θ - sin θ cos θ) / π of their sum.
    """
    short, long = sorted((rows, columns))
    ratio = short / long
    angle = np.linspace(0.0, np.pi, 20_001)
    middle = (angle[1:] + angle[:-1]) / 2
    density = np.sin(middle) ** 2 / (1 + ratio + 2 * ratio**0.5 * np.cos(middle))
    reached = np.concatenate([[0.0], np.cumsum(density)])
    cut = np.interp([min(rank / short, 1.0) for rank in RANKS], reached / reached[-1], angle)
    return [float(share) for share in (cut - np.sin(cut) * np.cos(cut)) / np.pi]


def _sides(tensor: PairedTensor) -> tuple[int, int]:
    """Return rows (of the base; added ones stay out) and columns."""
    columns = tensor.tuned.shape[1]
    return tensor.numel // columns, columns


def _bands(tensor: PairedTensor) -> Iterator[Floats]:
    """Go through the update in bands of whole rows, shape (rows of the band, columns)."""
    columns = tensor.tuned.shape[1]
    step = max(1, _BAND // columns) * columns
    for start in range(0, tensor.numel, step):
        stop = min(start + step, tensor.numel)
        yield tensor.read(start, stop).update.reshape(-1, columns)
        tensor.release(start, stop)


def _column_gram(tensor: PairedTensor) -> Matrix:
    columns = tensor.tuned.shape[1]
    gram = np.zeros((columns, columns))
    for band in _bands(tensor):
        wide = band.astype(np.float64)
        gram += wide.T @ wide
    return gram


def _row_gram(tensor: PairedTensor) -> Matrix:
    """Sum over bands of columns; the matrix has at most `EXACT_SIDE` rows and is held once."""
    update = np.concatenate(list(_bands(tensor)))
    rows, columns = update.shape
    gram = np.zeros((rows, rows))
    step = max(1, _BAND // rows)
    for start in range(0, columns, step):
        wide = update[:, start : start + step].astype(np.float64)
        gram += wide @ wide.T
    return gram


def _krylov(tensor: PairedTensor, seed: int) -> Spectrum:
    """Widen a Krylov subspace of ΔᵀΔ block by block until its largest values are close enough."""
    columns = tensor.tuned.shape[1]
    stream = random_stream("spectrum", seed, tensor.name)
    block = _orthonormal(stream.standard_normal((columns, _WIDTH), dtype=np.float32))
    basis, image = np.empty((2, columns, 0), np.float32)
    while True:
        more, total = _apply(tensor, block)
        basis, image = np.hstack([basis, block]), np.hstack([image, more])
        found = _ritz(basis, image, total)
        full = basis.shape[1] + _WIDTH > min(_sides(tensor))
        if found.error <= _TOLERANCE or full or basis.shape[1] >= _MOST_BLOCKS * _WIDTH:
            return found
        for _ in range(2):  # twice is enough (Kahan): the rest may be small
            more = _orthonormal(more - basis @ (basis.T @ more))
        block = more


def _apply(tensor: PairedTensor, block: Floats) -> tuple[Floats, float]:
    """Return ΔᵀΔ times a block, and the sum of squares of Δ, in one pass over the files."""
    result, total = np.zeros_like(block), 0.0
    for band in _bands(tensor):
        result += band.T @ (band @ block)
        total += sum_of_squares(band)
    return result, total


def _ritz(basis: Floats, image: Floats, total: float) -> Spectrum:
    """Return the largest values inside the subspace and what they may miss.

    Inside the subspace no value is too large. Each may be too small by the norm of the residual
    (Weyl), provided that the random start left out none of the largest.
    """
    if total == 0.0:
        return Spectrum(np.zeros(RANKS[-1]), 0.0, 0.0)
    inner = (basis.T @ image).astype(np.float64)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    values, vectors = values[::-1][: RANKS[-1]], vectors[:, ::-1][:, : RANKS[-1]]
    kept = vectors.astype(np.float32)
    residual = image @ kept - (basis @ kept) * values.astype(np.float32)
    norms = [np.linalg.norm(residual[:, :rank], 2) for rank in RANKS]
    error = max(rank * float(norm) for rank, norm in zip(RANKS, norms, strict=True)) / total
    return Spectrum(np.maximum(values, 0.0), total, error)


def _orthonormal(block: Floats) -> Floats:
    return np.linalg.qr(block)[0]
