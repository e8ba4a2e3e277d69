from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_checkpoints import float_weights, in_dtype, write_checkpoint
from sixtyfold.core import checkpoint_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import Corrupted
from sixtyfold.core.float_formats import to_float32
from sixtyfold.stages.restore.candidates import share_count
from sixtyfold.stages.restore.plans import RankedPlan, whole_tensor
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.rules.rule import Spot
from sixtyfold.stages.restore.threshold import Aim, Ranking, cut

CHUNK = 7
DTYPES = [
    ("F32", "F32"),
    ("BF16", "BF16"),
    ("F32", "BF16"),
    ("BF16", "F32"),
    ("F16", "F16"),
    ("F64", "F64"),
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
        name = f"model.layers.{number}.mlp.up_proj.weight"
        own = np.float32(draw(st.lists(values, min_size=size, max_size=size)))
        base[name] = own
        other = np.float32(draw(st.lists(values, min_size=size, max_size=size)))
        stay = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
        tuned[name] = np.where(stay, own, other)
    return base, tuned


@settings(max_examples=150, deadline=None)
@given(
    pair=pairs(),
    rule=st.sampled_from(sorted(RULES)),
    dtypes=st.sampled_from(DTYPES),
    percents=st.lists(st.floats(0, 100), min_size=1, max_size=4),
    shards=st.integers(1, 3),
)
def test_equals_a_brute_force_sort(pair, rule, dtypes, percents, shards):
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(checkpoint_pair, "CHUNK", CHUNK),
    ):
        base_dir = write_checkpoint(Path(folder) / "b", pair[0], dtypes[0])
        tuned_dir = write_checkpoint(Path(folder) / "t", pair[1], dtypes[1], shards=shards)
        opened = open_pair(base_dir, tuned_dir)
        tensors = opened.region("transformer")
        base = {
            name: to_float32(in_dtype(each, dtypes[1]), dtypes[1])
            for name, each in float_weights(base_dir).items()
        }
        tuned = float_weights(tuned_dir)
        ranking = Ranking(tensors, rule, 3)
        counts = [share_count(percent, ranking.numel) for percent in percents]
        found = cut(ranking, [Aim(number=count) for count in counts])
        for each, count in zip(found, counts, strict=True):
            assert each.number == count
            plan = RankedPlan("transformer", ranking, each)
            expected = brute_force(rule, base, tuned, count, 3)
            restored = sum(run.restored for tensor in tensors for run in plan.chunks(tensor))
            assert restored == count
            for tensor in tensors:
                got = whole_tensor(plan, tensor)
                # bits, not values: a zero keeps its sign
                assert got.tobytes() == expected[tensor.name].astype(np.float32).tobytes()


def test_ties_go_by_tensor_name_then_position(tmp_path):
    names = [f"model.layers.{n}.mlp.up_proj.weight" for n in (1, 0)]
    write_checkpoint(tmp_path / "b", {name: np.ones(3, np.float32) for name in names})
    write_checkpoint(tmp_path / "t", {name: np.full(3, 2, np.float32) for name in names})
    ranking = Ranking(
        open_pair(tmp_path / "b", tmp_path / "t").region("transformer"), "relative", 0
    )
    (four,) = cut(ranking, [Aim(number=4)])
    assert four.ties == {names[1]: 3, names[0]: 1}
    plan = RankedPlan("transformer", ranking, four)
    restored = {tensor.name: whole_tensor(plan, tensor).tolist() for tensor in ranking.tensors}
    assert restored == {names[1]: [1, 1, 1], names[0]: [1, 2, 2]}


def test_squares_are_met_as_closely_as_one_weight_allows(tmp_path):
    stream = np.random.default_rng(0)
    base = {"model.layers.0.mlp.up_proj.weight": stream.standard_normal(5000).astype(np.float32)}
    tuned = {name: each + np.float32(0.01) * stream.standard_normal(5000).astype(np.float32)
             for name, each in base.items()}  # fmt: skip
    pair = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    (tensor,) = pair.region("transformer")
    (name,) = base
    squares = np.square((tuned[name] - base[name]).astype(np.float64))
    for rule in RULES:
        ranking = Ranking([tensor], rule, 0)
        scores = np.concatenate([
            RULES[rule](chunk.base, chunk.update, Spot(0, name, chunk.start))
            for chunk in tensor.chunks()
        ])  # fmt: skip
        reached = np.cumsum(squares[np.argsort(-scores, kind="stable")])
        for share in (0.1, 0.5, 0.9):
            (found,) = cut(ranking, [Aim(squares=share * squares.sum())])
            nearest = np.searchsorted(reached, share * squares.sum()) + 1
            assert abs(found.number - nearest) <= 1


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_broken_weights_are_refused_by_name(tmp_path, rule, broken):
    name = "model.layers.0.mlp.up_proj.weight"
    write_checkpoint(tmp_path / "b", {name: np.ones(3, np.float32)})
    write_checkpoint(tmp_path / "t", {name: np.float32([1, broken, 2])})
    ranking = Ranking(open_pair(tmp_path / "b", tmp_path / "t").region("all"), rule, 0)
    with pytest.raises(Corrupted, match=f"'{name}' holds NaN or infinite"):
        cut(ranking, [Aim(number=1)])
