"""Distances between next-token distributions; float64 over float32 logits.

Shapes: N prompts, V vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

Array = NDArray[np.float64]
TOP = 10


def top_k_kl(tuned_NV: Array, base_NV: Array, k: int = TOP) -> tuple[Array, Array]:
    """Return P2's drift and how much of the base's mass it sees.

    The tuned model's k largest logits and the base model's logits at the same ids are normalised
    each by itself; KL(tuned‖base) of the two (arXiv 2509.16596, section 4).

    Args:
        tuned_NV: logits of the tuned model.
        base_NV: logits of the base model.
        k: number of ids.

    Returns:
        float64[N] divergence in nats, and float64[N] probability the base gives to the k ids.

    >>> same = np.log(np.array([[.5, .3, .2]]))
    >>> float(top_k_kl(same, same, 2)[0][0]), round(float(top_k_kl(same, same, 2)[1][0]), 3)
    (0.0, 0.8)
    """
    k = min(k, tuned_NV.shape[1])
    ids = np.argsort(-tuned_NV, axis=1, kind="stable")[:, :k]
    p = log_softmax(np.take_along_axis(tuned_NV, ids, 1), axis=1)
    q = log_softmax(np.take_along_axis(base_NV, ids, 1), axis=1)
    covered = np.exp(np.take_along_axis(log_softmax(base_NV, axis=1), ids, 1)).sum(1)
    return (np.exp(p) * (p - q)).sum(1), covered


def kl(first_NV: Array, second_NV: Array) -> Array:
    """Return KL(first‖second) over the whole vocabulary, float64[N] in nats."""
    p, q = log_softmax(first_NV, axis=1), log_softmax(second_NV, axis=1)
    return np.asarray((np.exp(p) * (p - q)).sum(1))


def js(first_NV: Array, second_NV: Array) -> Array:
    """Return the Jensen-Shannon divergence over the whole vocabulary, in 0..ln 2.

    >>> far = js(np.array([[99., 0.]]), np.array([[0., 99.]]))
    >>> bool(abs(far[0] - np.log(2)) < 1e-9)
    True
    """
    p, q = log_softmax(first_NV, axis=1), log_softmax(second_NV, axis=1)
    m = np.logaddexp(p, q) - np.log(2)
    return np.asarray(0.5 * ((np.exp(p) * (p - m)).sum(1) + (np.exp(q) * (q - m)).sum(1)))


def log_probability(logits_NV: Array, ids_N: NDArray[np.int64]) -> Array:
    """Return the log-probability of one id per row, float64[N]."""
    return np.asarray(np.take_along_axis(log_softmax(logits_NV, axis=1), ids_N[:, None], 1)[:, 0])
