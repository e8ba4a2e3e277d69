"""Distances between next-token distributions; float64 over float32 logits.

Shapes: N prompts (or rows: one token of one answer), V vocabulary. Everything is in nats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

Array = NDArray[np.float64]
Logits = NDArray[np.floating]
TOP = 10
_BLOCK = 1 << 22  # numbers of one matrix that are worked on at a time


class RowMeasures(NamedTuple):
    """What is measured at one token of an answer, float64[N] each.

    Divergences are over the ids both models have, each side normalised over these. `outside_*` is
    the probability a model gives to ids the other does not have (0 where both have the same).
    `logp_*` is the log-probability of the given token among all of the model's own ids.
    """

    kl_tuned_base: Array
    kl_base_tuned: Array
    js: Array
    logp_base: Array
    logp_tuned: Array
    outside_base: Array
    outside_tuned: Array


def row_measures(tuned_NV: Logits, base_NV: Logits, ids_N: NDArray[np.int64]) -> RowMeasures:
    """Compare two models' distributions, some rows at a time.

    Args:
        tuned_NV: logits of the tuned model.
        base_NV: logits of the base model; may have fewer or more columns.
        ids_N: the token whose probability is asked for, one a row.
    """
    shared = min(tuned_NV.shape[1], base_NV.shape[1])
    parts = []
    for rows in blocks(len(ids_N), max(tuned_NV.shape[1], base_NV.shape[1])):
        p, q = (log_softmax(_double(each[rows]), axis=1) for each in (tuned_NV, base_NV))
        said = [np.take_along_axis(each, ids_N[rows, None], 1)[:, 0] for each in (q, p)]
        (p, out_p), (q, out_q) = _over_shared(p, shared), _over_shared(q, shared)
        parts.append([_kl(p, q), _kl(q, p), _js(p, q), *said, out_q, out_p])
    return RowMeasures(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield slices of rows that are small enough to be worked on together."""
    size = max(1, _BLOCK // columns)
    for start in range(0, rows, size):
        yield slice(start, start + size)


def top_k_kl(tuned_NV: Logits, base_NV: Logits, k: int = TOP) -> tuple[Array, Array]:
    """Return P2's drift and how much of the base's mass it sees.

    The tuned model's k largest logits and the base model's logits at the same ids are normalised
    each by itself; KL(tuned‖base) of the two (arXiv 2509.16596, section 4).

    Args:
        tuned_NV: logits of the tuned model.
        base_NV: logits of the base model; with other columns, the ids both have are used.
        k: number of ids; of equal logits the smaller ids are taken.

    Returns:
        float64[N] divergence in nats, and float64[N] probability the base gives to the k ids.

    >>> same = np.log(np.array([[.5, .3, .2]]))
    >>> float(top_k_kl(same, same, 2)[0][0]), round(float(top_k_kl(same, same, 2)[1][0]), 3)
    (0.0, 0.8)
    """
    shared = min(tuned_NV.shape[1], base_NV.shape[1])
    tuned, base = _double(tuned_NV[:, :shared]), _double(base_NV)
    ids = _largest(tuned, min(k, shared))
    seen = np.take_along_axis(base, ids, 1)
    p = log_softmax(np.take_along_axis(tuned, ids, 1), axis=1)
    covered = np.exp(seen - logsumexp(base, axis=1, keepdims=True)).sum(1)
    return _kl(p, log_softmax(seen, axis=1)), covered


def kl(first_NV: Logits, second_NV: Logits) -> Array:
    """Return KL(first‖second) over the whole vocabulary, float64[N]."""
    return _kl(log_softmax(_double(first_NV), axis=1), log_softmax(_double(second_NV), axis=1))


def js(first_NV: Logits, second_NV: Logits) -> Array:
    """Return the Jensen-Shannon divergence over the whole vocabulary, in 0..ln 2.

    >>> far = js(np.array([[99., 0.]]), np.array([[0., 99.]]))
    >>> bool(abs(far[0] - np.log(2)) < 1e-9)
    True
    """
    return _js(log_softmax(_double(first_NV), axis=1), log_softmax(_double(second_NV), axis=1))


def _double(logits: Logits) -> Array:
    return np.asarray(logits, dtype=np.float64)


def _largest(logits_NV: Array, k: int) -> NDArray[np.int64]:
    """Return [N, k] ids of the largest logits, the largest first, ties in id order."""
    least = -np.partition(-logits_NV, k - 1, axis=1)[:, k - 1]
    found = np.empty((len(logits_NV), k), dtype=np.int64)
    for row, (logits, bound) in enumerate(zip(logits_NV, least, strict=True)):
        candidates = np.flatnonzero(logits >= bound)
        found[row] = candidates[np.argsort(-logits[candidates], kind="stable")[:k]]
    return found


def _over_shared(logp_NV: Array, shared: int) -> tuple[Array, Array]:
    """Return log-probabilities normalised over the shared ids, and the mass of the others."""
    if logp_NV.shape[1] == shared:
        return logp_NV, np.zeros(len(logp_NV))
    inside = logsumexp(logp_NV[:, :shared], axis=1, keepdims=True)
    outside = np.exp(logsumexp(logp_NV[:, shared:], axis=1))
    return logp_NV[:, :shared] - inside, outside


def _kl(logp_NV: Array, logq_NV: Array) -> Array:
    """Return Σ p (log p − log q); what p excludes counts 0, also where q excludes it too."""
    with np.errstate(invalid="ignore"):
        terms = np.exp(logp_NV) * (logp_NV - logq_NV)
    return np.asarray(np.where(np.isneginf(logp_NV), 0.0, terms).sum(1))


def _js(logp_NV: Array, logq_NV: Array) -> Array:
    middle = np.logaddexp(logp_NV, logq_NV) - np.log(2)
    return 0.5 * (_kl(logp_NV, middle) + _kl(logq_NV, middle))
