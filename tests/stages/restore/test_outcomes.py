"""Rules and scopes together: whatever is ranked together equals a sort of exactly that."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_checkpoints import (
    float_weights,
    in_dtype,
    moved,
    random_values,
    write_checkpoint,
    write_pair,
)
from restoring_by_sorting import CHUNK, DTYPES, brute_force_in_groups, pairs, share_of
from sixtyfold.core import checkpoint_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.float_formats import choose, to_float32
from sixtyfold.stages.restore.outcomes import NestedCuts, OnePlan, rankings_of
from sixtyfold.stages.restore.plans import InterpolatedPlan
from sixtyfold.stages.restore.rules import RULES

SCOPES = ["model", "layer", "tensor"]


def written(outcome, tensors, number):
    """The weights of one checkpoint, {name: raw}, and what its pieces say."""
    pieces = outcome.pieces(tensors)
    found, told = {}, {"restored": 0, "moved": 0, "remaining": 0.0}
    for tensor in tensors:
        raws = []
        while sum(raw.size for raw in raws) < tensor.numel:
            piece = next(pieces)[number]
            raws.append(piece.raw)
            for name in told:
                told[name] += getattr(piece, name)
        found[tensor.name] = np.concatenate(raws)
    assert next(pieces, None) is None
    return found, told


@settings(max_examples=150, deadline=None)
@given(
    pair=pairs(),
    rule=st.sampled_from(sorted(RULES)),
    scope=st.sampled_from(SCOPES),
    dtypes=st.sampled_from(DTYPES),
    percents=st.lists(st.floats(0, 100), min_size=1, max_size=4),
)
def test_equals_a_brute_force_sort_of_every_group(pair, rule, scope, dtypes, percents):
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(checkpoint_pair, "CHUNK", CHUNK),
    ):
        base_dir = write_checkpoint(Path(folder) / "b", pair[0], dtypes[0])
        tuned_dir = write_checkpoint(Path(folder) / "t", pair[1], dtypes[1])
        tensors = open_pair(base_dir, tuned_dir).region("transformer")
        base = {
            name: to_float32(in_dtype(each, dtypes[1]), dtypes[1])
            for name, each in float_weights(base_dir).items()
        }
        tuned = float_weights(tuned_dir)
        rankings = rankings_of(tensors, rule, 3, scope)
        outcome = NestedCuts.of("transformer", rankings, percents)
        for number, percent in enumerate(percents):
            expected = brute_force_in_groups(rule, scope, base, tuned, percent, 3)
            found, told = written(outcome, tensors, number)
            left = moves = 0.0
            for name, raw in found.items():
                values = to_float32(raw, dtypes[1])
                # bits, not values: a zero keeps its sign
                assert values.tobytes() == expected[name].astype(np.float32).tobytes()
                left += np.square((values - base[name]).astype(np.float64)).sum()
                moves += ((values == base[name]) & (base[name] != tuned[name])).sum()
            assert told["moved"] == moves
            assert told["remaining"] == pytest.approx(left)
            groups = [sum(each.numel for each in ranking.tensors) for ranking in rankings]
            assert told["restored"] == sum(share_of(percent, size) for size in groups)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("scope", SCOPES)
def test_every_group_gives_the_same_share(tmp_path, rule, scope):
    tensors = open_pair(*write_pair(tmp_path)).region("all")
    rankings = rankings_of(tensors, rule, 0, scope)
    assert sorted(each.name for ranking in rankings for each in ranking.tensors) == [
        tensor.name for tensor in tensors
    ]
    layers = {tensor.place.layer for tensor in tensors}
    assert len(rankings) == {"model": 1, "layer": len(layers), "tensor": len(tensors)}[scope]
    for ranking, (group, cuts) in zip(
        rankings, _groups(NestedCuts.of("all", rankings, [50])), strict=True
    ):
        assert group == ranking
        assert cuts[0].number == round(ranking.numel / 2)


def _groups(outcome):
    found = []
    for group in outcome.groups.values():
        if group not in found:
            found.append(group)
    return found


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_threads_change_nothing(tmp_path, monkeypatch, shards):
    monkeypatch.setattr(checkpoint_pair, "CHUNK", 5)
    tensors = open_pair(*write_pair(tmp_path)).region("all")
    results = []
    for threads in (1, shards):
        monkeypatch.setattr("sixtyfold.core.threads.thread_count", lambda count=threads: count)
        monkeypatch.setattr("sixtyfold.stages.restore.threshold._BATCH", 11)
        outcome = NestedCuts.of("all", rankings_of(tensors, "relative", 0, "layer"), [7, 30, 61])
        results.append([written(outcome, tensors, number) for number in range(3)])
    for (one, told), (other, also_told) in zip(*results, strict=True):
        assert told == also_told
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_one_plan_gives_what_the_plan_gives(tmp_path):
    base, tuned = write_pair(tmp_path)
    tensors = open_pair(base, tuned).region("transformer")
    found, told = written(OnePlan(InterpolatedPlan("transformer", 0.25)), tensors, 0)
    before, after = float_weights(base), float_weights(tuned)
    left = 0.0
    for name, raw in found.items():
        update = (after[name] - before[name]).ravel()
        assert np.array_equal(raw, before[name].ravel() + np.float32(0.25) * update)
        left += np.square((raw - before[name].ravel()).astype(np.float64)).sum()
    assert told == {"restored": 0, "moved": 0, "remaining": pytest.approx(left)}


def mergekit_breadcrumbs(base, tuned, density, gamma):
    """One tensor as mergekit 0.1.5 documents it: largest gamma dropped, density kept of the rest.

    magnitude_outliers: sorted by |update| ascending, elements n − int(density·n) − int(gamma·n)
    and the int(density·n) from there on are kept.
    """
    update = (tuned - base).ravel()
    kept, top = int(density * update.size), int(gamma * update.size)
    start = max(0, update.size - kept - top)
    order = np.argsort(np.abs(update), kind="stable")
    mask = np.zeros(update.size, np.float32)
    mask[order[start : start + kept]] = 1
    return base + (update * mask).reshape(base.shape)


@pytest.mark.parametrize("gamma", [0.125, 0.25, 0.5])
def test_per_tensor_absolute_is_mergekits_breadcrumbs(tmp_path, gamma):
    shapes = {
        "model.layers.0.mlp.up_proj.weight": (64, 40),
        "model.layers.0.self_attn.q_proj.bias": (48,),
        "model.layers.1.self_attn.q_proj.weight": (32, 32),
    }
    base = random_values(shapes=shapes)
    tuned = moved(base)
    pair = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    tensors = pair.region("transformer")
    rankings = rankings_of(tensors, "absolute", 0, "tensor")
    found, told = written(NestedCuts.of("transformer", rankings, [100 * gamma]), tensors, 0)
    assert told["restored"] == sum(int(gamma * each.size) for each in base.values())
    for name, raw in found.items():
        theirs = mergekit_breadcrumbs(base[name], tuned[name], 1 - gamma, gamma).ravel()
        before, after = base[name].ravel(), tuned[name].ravel()
        # theirs adds the update to the base again, which rounds; ours copies
        assert np.array_equal(np.where(raw == after, before + (after - before), before), theirs)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, np.uint16])
def test_choose_keeps_every_bit(kind):
    stream = np.random.default_rng(0)
    size = 1001
    one, other = (
        np.frombuffer(stream.bytes(size * np.dtype(kind).itemsize), kind) for _ in range(2)
    )
    mask = stream.random(size) < 0.3
    for part in (slice(None), slice(3, 900)):
        found = choose(mask[part], one[part], other[part])
        assert found.dtype == kind
        assert found.tobytes() == np.where(mask, one, other)[part].tobytes()
