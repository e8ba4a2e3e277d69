"""How many draws each prompt gets.

Every prompt gets one draw, the pilot. Further draws go where they tell most (Neyman allocation):
to templates whose draws vary, and to facts whose level is open. If a draw decided how many more
follow it and then entered the same mean, the mean would be biased. So how many draws a prompt gets
depends on what is computed for it (`first_prob`) and on the pilots of the *other* templates of its
fact, never on its own: given that number, its draws are independent of it, and their mean is
unbiased. The scale that meets the budget comes from the other facts.

Knows numbers only: no model, no text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sixtyfold.core.levels import CUTS, DRAWS_PER_TEMPLATE

MOST = 32  # further draws of one prompt, unless told
FEW = 12  # so few facts say too little about each other: all their prompts get the same


class Pilot(NamedTuple):
    """What is known of a fact's prompts after one draw each; K templates.

    fact_id: the fact.
    certain_K: the least a draw's value can be, computed beforehand.
    values_K: the value of the pilot draw.
    """

    fact_id: str
    certain_K: NDArray[np.float64]
    values_K: NDArray[np.float64]


def further_draws(
    pilots: Sequence[Pilot], total: int, seed: int, *, most: int = MOST
) -> list[NDArray[np.int64]]:
    """Return how many further draws each prompt gets.

    Args:
        pilots: facts, each with its prompts.
        total: further draws of all prompts together; met within a few per cent (each fact takes
            its share from what the others ask for).
        seed: seed of the rounding.
        most: further draws of one prompt.

    Returns:
        per fact int64 [K], at most `most` each.
    """
    demands = [_demand(pilot) for pilot in pilots]
    prompts = sum(map(len, demands))
    every = sum(float(demand.sum()) for demand in demands)
    found = []
    for pilot, demand in zip(pilots, demands, strict=True):
        others = every - float(demand.sum())
        share = total * (prompts - len(demand)) / prompts
        if len(pilots) < FEW or others < 1e-9:
            wanted_K = np.full(len(demand), total / prompts)
        else:
            wanted_K = demand * share / others
        found.append(np.minimum(_rounded(wanted_K, pilot.fact_id, seed), most))
    return found


def openness(pilot: Pilot) -> NDArray[np.float64]:
    """Return [K]: how probably the level is another than it looks, without each one's own draw.

    The remainder (what recall has above its certain part) gets the Beta distribution of Jeffreys'
    prior and the other templates' pilots, and the level's cut points are laid through it.
    """
    return _judge(pilot).openness_K


class _Judged(NamedTuple):
    spread_K: NDArray[np.float64]
    openness_K: NDArray[np.float64]


def _judge(pilot: Pilot) -> _Judged:
    rest_K = 1.0 - pilot.certain_K
    gain_K = np.clip(pilot.values_K - pilot.certain_K, 0.0, rest_K)
    others_K = rest_K.sum() - rest_K
    squares_K = (rest_K**2).sum() - rest_K**2
    known = others_K > 1e-9
    draws_K = np.where(known, others_K**2 / np.where(known, squares_K, 1.0), 0.0)
    mean_K = np.where(known, (gain_K.sum() - gain_K) / np.where(known, others_K, 1.0), 0.0)
    mean_K = np.clip(mean_K, 0.0, 1.0)
    a_K, b_K = mean_K * draws_K + 0.5, (1.0 - mean_K) * draws_K + 0.5
    share_K = a_K / (a_K + b_K)
    spread_K = rest_K * np.sqrt(share_K * (1.0 - share_K))
    scale = max(float(rest_K.mean()), 1e-9)
    cuts = (np.array(_cut_points(len(rest_K))) - pilot.certain_K.mean()) / scale
    below = special.betainc(a_K[:, None], b_K[:, None], np.clip(cuts, 0.0, 1.0)[None, :])
    edges = np.concatenate([np.zeros((len(a_K), 1)), below, np.ones((len(a_K), 1))], 1)
    return _Judged(spread_K, 1.0 - np.diff(edges, axis=1).max(1))


def _cut_points(templates: int) -> tuple[float, ...]:
    """Return the recalls at which the most probable level of K × 10 draws changes."""
    no_hit = 1.0 - 0.5 ** (1.0 / (templates * DRAWS_PER_TEMPLATE))
    return (no_hit, *CUTS[1:])


def _demand(pilot: Pilot) -> NDArray[np.float64]:
    judged = _judge(pilot)
    return np.asarray(judged.spread_K * np.sqrt(judged.openness_K))


def _rounded(wanted: NDArray[np.float64], fact_id: str, seed: int) -> NDArray[np.int64]:
    """Round up or down so that the expectation stays; the dice know the fact and nothing else."""
    key = f"{seed}\x1fallocation\x1f{fact_id}".encode()
    state = int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "big")
    dice = np.random.Generator(np.random.Philox(key=state)).random(len(wanted))
    return np.asarray(np.floor(wanted + dice), dtype=np.int64)
