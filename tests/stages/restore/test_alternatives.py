"""One matrix for all families: a new family is one more line in FAMILIES and is tested here.

Formulas are written down once more in plain NumPy.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from made_up_checkpoints import float_weights, moved, random_values, write_checkpoint
from sixtyfold.core import checkpoint_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.random_streams import random_stream
from sixtyfold.stages.restore.alternatives import FAMILIES, svd
from sixtyfold.stages.restore.alternatives.dare import Dare
from sixtyfold.stages.restore.alternatives.family import measure
from sixtyfold.stages.restore.candidates import SAME_NORM, Candidates
from sixtyfold.stages.restore.names import FamilyName
from sixtyfold.stages.restore.plans import whole_tensor
from sixtyfold.stages.restore.rules import RULES

SHAPES = {
    "model.embed_tokens.weight": (50, 40),
    "model.layers.0.mlp.up_proj.weight": (1200, 40),
    "model.layers.1.self_attn.q_proj.bias": (3000,),
    "model.layers.1.self_attn.q_proj.weight": (40, 300),
    "model.layers.2.mlp.experts.down_proj": (3, 60, 50),
    "model.norm.weight": (40,),
}
REGION = [name for name in SHAPES if ".layers." in name]
#: Families that end at the tuned model bit for bit; DARE drops updates at any strength.
REACH_TUNED = sorted(set(FAMILIES) - {"dare"})
#: Families that reach the base; LiNeS keeps the deepest layer.
REACH_BASE = sorted(set(FAMILIES) - {"lines"})


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    base = random_values(shapes=SHAPES)
    return open_pair(
        write_checkpoint(folder / "base", base), write_checkpoint(folder / "tuned", moved(base))
    )


@pytest.fixture(scope="module")
def sides(pair):
    return float_weights(pair.base.directory), float_weights(pair.tuned.directory)


def share_left(pair, weights):
    """‖weights − base‖ / ‖tuned − base‖ over the region."""
    base, tuned = float_weights(pair.base.directory), float_weights(pair.tuned.directory)
    left = sum(np.square((weights[name] - base[name]).astype(float)).sum() for name in REGION)
    whole = sum(np.square((tuned[name] - base[name]).astype(float)).sum() for name in REGION)
    return np.sqrt(left / whole)


def weights_at(pair, family, share):
    candidates = Candidates(pair, seed=3)
    (found,) = candidates.same_norm(family, [share])
    return dict(candidates.tensors(found)), found


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_leaves_the_norm_it_is_set_to(tmp_path, family, dtype):
    base = random_values(shapes=SHAPES)
    pair = open_pair(
        write_checkpoint(tmp_path / "base", base, dtype),
        write_checkpoint(tmp_path / "tuned", moved(base), dtype, shards=2),
    )
    candidates = Candidates(pair)
    shares = [0.99, 0.9, 0.7, 0.5 if family == "lines" else 0.3]
    shares = [share for share in shares if share >= FAMILIES[family].lowest(candidates.update)]
    assert len(shares) >= 3
    for share, found in zip(shares, candidates.same_norm(family, shares), strict=True):
        left = share_left(pair, dict(candidates.tensors(found)))
        assert abs(left / share - 1) <= SAME_NORM
        assert found.remaining == pytest.approx(left, rel=1e-6)
        assert found.plan.setting


@pytest.mark.parametrize("family", REACH_TUNED)
def test_everything_left_is_the_tuned_model_bit_for_bit(pair, sides, family):
    weights, _ = weights_at(pair, family, 1.0)
    for name in REGION:
        assert weights[name].tobytes() == sides[1][name].tobytes()


@pytest.mark.parametrize("family", REACH_BASE)
def test_nothing_left_is_the_base_bit_for_bit(pair, sides, family):
    weights, _ = weights_at(pair, family, 0.0)
    for name in REGION:
        assert weights[name].tobytes() == sides[0][name].tobytes()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_plan_gives_the_same_weights_in_any_order(pair, family):
    _, found = weights_at(pair, family, 0.8)
    tensors = [pair.tensors[name] for name in REGION]
    forward = [whole_tensor(found.plan, each).tobytes() for each in tensors]
    backward = [whole_tensor(found.plan, each).tobytes() for each in reversed(tensors)]
    assert forward == backward[::-1]


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"dare", "random"}))
def test_length_of_runs_changes_nothing_but_random_draws(pair, family, monkeypatch):
    whole, _ = weights_at(pair, family, 0.8)
    monkeypatch.setattr(checkpoint_pair, "CHUNK", 777)
    pieces, _ = weights_at(pair, family, 0.8)
    for name in REGION:
        np.testing.assert_allclose(pieces[name], whole[name], rtol=0, atol=1e-9)


def test_names_of_families_are_those_of_the_table():
    assert list(get_args(FamilyName)) == list(FAMILIES)
    assert set(RULES) < set(FAMILIES)


@pytest.mark.parametrize("share", [0.9, 0.4])
def test_dare_equals_its_formula(pair, sides, share):
    base, tuned = sides
    candidates = Candidates(pair, seed=3)
    weights, found = weights_at(pair, "dare", share)
    masks = {
        name: random_stream("dare", 3, name, 0).random(base[name].size, np.float32) >= 0.5
        for name in REGION
    }
    kept = {
        name: masks[name].reshape(base[name].shape) * (tuned[name] - base[name]) for name in REGION
    }
    squares = sum(np.square(each.astype(float)).sum() for each in kept.values())
    scale = share * candidates.norm / np.sqrt(squares) * 0.5
    assert found.plan.scale == pytest.approx(scale, rel=1e-9)
    for name in REGION:
        expected = base[name] + np.float32(scale / 0.5) * kept[name]
        np.testing.assert_array_equal(weights[name], expected.astype(np.float32))
    share_dropped = np.mean(np.concatenate([~mask for mask in masks.values()]))
    assert abs(share_dropped - 0.5) < 0.01


def test_dare_without_shrinking_makes_the_update_longer(pair):
    plain = Dare(0.9).plans(measure(pair, "transformer", 3), [1.0])[0]._replace(scale=1.0)
    left = Candidates(pair, seed=3).remaining_norm(plain) / Candidates(pair).norm
    assert left == pytest.approx(10**0.5, rel=0.05)


def test_lines_equals_its_formula(pair, sides):
    base, tuned = sides
    weights, found = weights_at(pair, "lines", 0.8)
    alpha = float(found.plan.setting.removeprefix("α = "))
    for name in REGION:
        layer = pair.tensors[name].place.layer + 1  # the paper counts from 1
        factor = alpha + (1 - alpha) * (layer - 1) / (3 - 1)
        expected = base[name] + factor * (tuned[name] - base[name])
        np.testing.assert_allclose(weights[name], expected, rtol=0, atol=5e-6)
    deepest = "model.layers.2.mlp.experts.down_proj"
    assert weights[deepest].tobytes() == tuned[deepest].tobytes()


def test_lines_says_what_it_cannot_leave(pair):
    candidates = Candidates(pair)
    lowest = FAMILIES["lines"].lowest(candidates.update)
    assert 0.2 < lowest < 0.8
    with pytest.raises(BadInput, match=rf"'lines' leaves .* where 0\.1000 is wanted: {lowest:.4f}"):
        candidates.same_norm("lines", [0.1])


@pytest.mark.parametrize(("end", "whole", "share"), [("first", 0, 0.5), ("last", 2, 0.9)])
def test_layers_go_back_whole_from_one_end(pair, sides, end, whole, share):
    base, tuned = sides
    weights, found = weights_at(pair, f"{end}-layers", share)
    layers = {pair.tensors[name].place.layer: name for name in REGION}
    assert np.array_equal(weights[layers[whole]], base[layers[whole]])
    assert np.array_equal(weights[layers[2 - whole]], tuned[layers[2 - whole]])
    assert found.plan.setting.startswith(f"1 layers put back from the {end} on, the next keeps 0.")


def truncated(matrix, share):
    """The largest singular components with a share of the energy, the last one in part."""
    left, values, right = np.linalg.svd(matrix.astype(float), full_matrices=False)
    room = share**2 * np.square(values).sum()
    parts = []
    for value in values:
        parts.append(np.sqrt(min(1.0, max(0.0, room) / value**2)))
        room -= value**2
    return (left * values * parts) @ right


@pytest.mark.parametrize("share", [0.95, 0.5])
@pytest.mark.parametrize("limit", [1 << 30, 0])
def test_svd_equals_a_truncated_decomposition(pair, sides, share, limit, monkeypatch):
    base, tuned = sides
    monkeypatch.setattr(svd, "MOST_KEPT", limit)
    weights, _ = weights_at(pair, "svd", share)
    for name in REGION:
        update = (tuned[name] - base[name]).reshape(-1, *SHAPES[name][-2:])
        if len(SHAPES[name]) == 1:
            update = update.reshape(1, 1, -1)
        expected = np.stack([truncated(each, share) for each in update]).reshape(SHAPES[name])
        np.testing.assert_allclose(weights[name] - base[name], expected, rtol=0, atol=2e-8)


def test_svd_of_an_update_of_low_rank_keeps_it_whole(tmp_path):
    stream = np.random.default_rng(0)
    base = random_values(shapes=SHAPES)
    tuned = dict(base)
    name = "model.layers.0.mlp.up_proj.weight"
    direction = np.outer(stream.standard_normal(1200), stream.standard_normal(40)) * 1e-3
    tuned[name] = base[name] + direction.astype(np.float32)
    opened = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    half, _ = weights_at(opened, "svd", 0.5)
    np.testing.assert_allclose(half[name] - base[name], direction / 2, rtol=0, atol=1e-7)


def test_the_scale_of_an_adapter_is_interpolation(tmp_path):
    stream = np.random.default_rng(0)
    base = random_values(shapes=SHAPES)
    down, up = stream.standard_normal((4, 40)), stream.standard_normal((1200, 4))
    name, scale = "model.layers.0.mlp.up_proj.weight", 2e-4
    tuned = {**base, name: (base[name] + scale * up @ down).astype(np.float32)}
    opened = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    weights, _ = weights_at(opened, "interpolation", 0.3)
    np.testing.assert_allclose(
        weights[name], base[name] + 0.3 * scale * up @ down, rtol=0, atol=1e-7
    )


def test_broken_weights_are_refused_by_name(tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"
    write_checkpoint(tmp_path / "b", {name: np.ones(3, np.float32)})
    write_checkpoint(tmp_path / "t", {name: np.float32([1, np.nan, 2])})
    with pytest.raises(Corrupted, match=f"'{name}' holds NaN or infinite"):
        Candidates(open_pair(tmp_path / "b", tmp_path / "t"))
