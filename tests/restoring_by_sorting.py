"""Restoring by sorting all weights: the definitions once more, for comparison with the stage."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from sixtyfold.core.tensor_names import place
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.rules.rule import Spot

CHUNK = 7
DTYPES = [
    ("F32", "F32"),
    ("BF16", "BF16"),
    ("F32", "BF16"),
    ("BF16", "F32"),
    ("F16", "F16"),
    ("F64", "F64"),
    ("F64", "F32"),
    ("F64", "BF16"),
    ("F32", "F64"),
    ("F32", "F16"),
    ("F16", "BF16"),
    ("BF16", "F16"),
]
#: Few values, so that ties and zero updates are common; also zeros of both signs and tiny ones.
PALETTE = [0.0, -0.0, 0.5, -0.5, 1.0, 1.0078125, 0.02, -0.02, 1e-6, 1e-30, 300.0]


def brute_force_scores(rule: str, base: np.ndarray, tuned: np.ndarray, name: str, seed: int):
    """Scores of one flat tensor, written down once more from the definitions."""
    base, tuned = base.astype(np.float32), tuned.astype(np.float32)
    change = np.abs(tuned - base)
    if rule == "relative":
        return change / (np.abs(base) + np.float32(1e-8))
    if rule == "absolute":
        return change
    if rule == "smallest":
        return -change
    starts = range(0, base.size, CHUNK)
    drawn = [
        RULES["random"](base[at : at + CHUNK], tuned[at : at + CHUNK], Spot(seed, name, at))
        for at in starts
    ]
    return np.concatenate(drawn)


def brute_force(rule, base, tuned, count, seed):
    """Restore `count` weights of {name: flat float32} by sorting all of them."""
    names = sorted(base)
    scores = [brute_force_scores(rule, base[name], tuned[name], name, seed) for name in names]
    order = np.argsort(-np.concatenate(scores), kind="stable")
    mask = np.zeros(order.size, bool)
    mask[order[:count]] = True
    masks = np.split(mask, np.cumsum([base[name].size for name in names])[:-1])
    return {
        name: np.where(each, base[name], tuned[name])
        for name, each in zip(names, masks, strict=True)
    }


@st.composite
def pairs(draw):
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    values = st.sampled_from(PALETTE)
    base, tuned = {}, {}
    for number, size in enumerate(sizes):
        name = f"model.layers.{number // 2}.mlp.{('up', 'down')[number % 2]}_proj.weight"
        own = np.float32(draw(st.lists(values, min_size=size, max_size=size)))
        base[name] = own
        other = np.float32(draw(st.lists(values, min_size=size, max_size=size)))
        stay = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
        tuned[name] = np.where(stay, own, other)
    return base, tuned


def share_of(percent: float, numel: int) -> int:
    """A percentage as it is written, in exact fractions, halves to even."""
    return round(Fraction(str(percent)) / 100 * numel)


def brute_force_in_groups(rule, scope, base, tuned, percent, seed):
    """Restore a percentage of every group of tensors by sorting each group."""
    groups = {}
    for name in base:
        groups.setdefault(
            {"model": None, "layer": place(name).layer, "tensor": name}[scope], []
        ).append(name)
    restored = {}
    for names in groups.values():
        count = share_of(percent, sum(base[name].size for name in names))
        before, after = ({name: each[name] for name in names} for each in (base, tuned))
        restored.update(brute_force(rule, before, after, count, seed))
    return restored
