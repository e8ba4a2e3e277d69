from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_checkpoints import float_weights, in_dtype, write_checkpoint
from restoring_by_sorting import CHUNK, DTYPES, brute_force, pairs, share_of
from sixtyfold.core import checkpoint_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import Corrupted
from sixtyfold.core.float_formats import to_float32
from sixtyfold.stages.restore.plans import RankedPlan, whole_tensor
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.rules.rule import Spot
from sixtyfold.stages.restore.threshold import Aim, Ranking, cut, share_count


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


def test_a_share_is_what_is_written_and_not_its_float():
    assert share_count(7, 150) == 10  # 10.5, halves to even; 7 / 100 * 150 is a little more
    assert share_count(0.7, 1500) == 10
    for percent in (1, 3, 5, 7, 10, 20, 29, 40, 60, 0.1, 2.5, 100 / 3):
        for numel in (1, 49, 50, 150, 550, 12_345):
            assert share_count(percent, numel) == share_of(percent, numel)


def test_ties_go_by_tensor_name_then_position(tmp_path):
    names = [f"model.layers.{n}.mlp.up_proj.weight" for n in (1, 0)]
    write_checkpoint(tmp_path / "b", {name: np.ones(3, np.float32) for name in names})
    write_checkpoint(tmp_path / "t", {name: np.full(3, 2, np.float32) for name in names})
    ranking = Ranking(
        open_pair(tmp_path / "b", tmp_path / "t").region("transformer"), "relative", 0
    )
    (four,) = cut(ranking, [Aim(number=4)])
    assert four.ends == {names[1]: 3, names[0]: 1}
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


def test_whatever_is_read_is_released(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_pair, "CHUNK", 2)
    names = [f"model.layers.{n}.mlp.up_proj.weight" for n in (0, 1)]
    write_checkpoint(tmp_path / "b", {name: np.ones(9, np.float32) for name in names})
    write_checkpoint(tmp_path / "t", {name: np.full(9, 2, np.float32) for name in names})
    pair = open_pair(tmp_path / "b", tmp_path / "t")
    held = Counter()
    read, release = checkpoint_pair.PairedTensor.read, checkpoint_pair.PairedTensor.release

    def counted_read(tensor, start, stop):
        held[tensor.name, start, stop] += 1
        return read(tensor, start, stop)

    def counted_release(tensor, start, stop):
        held[tensor.name, start, stop] -= 1
        release(tensor, start, stop)

    monkeypatch.setattr(checkpoint_pair.PairedTensor, "read", counted_read)
    monkeypatch.setattr(checkpoint_pair.PairedTensor, "release", counted_release)
    cut(Ranking(pair.region("transformer"), "relative", 0), [Aim(number=13)])
    assert len(held) == 10
    assert set(held.values()) == {0}
