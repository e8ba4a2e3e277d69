from __future__ import annotations

import numpy as np
import pytest

from made_up_checkpoints import (
    float_weights,
    moved,
    random_values,
    write_checkpoint,
    write_pair,
)
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput
from sixtyfold.stages.restore.candidates import SAME_NORM, Candidates
from sixtyfold.stages.restore.rules import RULES

SHAPES = {
    "model.embed_tokens.weight": (50, 40),
    "model.layers.0.mlp.up_proj.weight": (2000, 40),
    "model.layers.1.self_attn.q_proj.weight": (40, 40),
    "model.norm.weight": (40,),
}


@pytest.fixture
def pair(tmp_path):
    base = random_values(shapes=SHAPES)
    return open_pair(
        write_checkpoint(tmp_path / "base", base), write_checkpoint(tmp_path / "tuned", moved(base))
    )


def measured_share(pair, candidates, candidate):
    """‖candidate − base‖ / ‖tuned − base‖ of the arrays a search would write into its model."""
    base, tuned = float_weights(pair.base.directory), float_weights(pair.tuned.directory)
    left = whole = 0.0
    for name, weights in candidates.tensors(candidate):
        left += np.square((weights - base[name]).astype(np.float64)).sum()
        whole += np.square((tuned[name] - base[name]).astype(np.float64)).sum()
    return np.sqrt(left / whole)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_remaining_norm_is_that_of_the_weights(pair, rule):
    candidates = Candidates(pair)
    for candidate in candidates.ranked(rule, [0, 1, 20, 60, 100]):
        assert candidate.family == rule
        assert candidate.remaining == pytest.approx(measured_share(pair, candidates, candidate))


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_same_norm_within_a_thousandth(tmp_path, rule, dtype):
    base = random_values(shapes=SHAPES)
    pair = open_pair(
        write_checkpoint(tmp_path / "base", base, dtype),
        write_checkpoint(tmp_path / "tuned", moved(base), dtype),
    )
    candidates = Candidates(pair)
    wanted = [each.remaining for each in candidates.ranked("relative", [3, 10, 40])]
    for share, candidate in zip(wanted, candidates.same_norm(rule, wanted), strict=True):
        assert abs(measured_share(pair, candidates, candidate) / share - 1) <= SAME_NORM
        between = candidates.interpolation(share)
        assert abs(measured_share(pair, candidates, between) / share - 1) <= SAME_NORM


def test_same_norm_that_cannot_be_met_is_refused(tmp_path):
    base = {"model.layers.0.mlp.up_proj.weight": np.ones(3, np.float32)}
    tuned = {name: each + np.float32([1, 2, 3]) for name, each in base.items()}
    pair = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    with pytest.raises(BadInput, match="has too few weights"):
        Candidates(pair).same_norm("absolute", [0.9])


def test_interpolation_follows_its_formula(pair):
    candidates = Candidates(pair)
    base, tuned = float_weights(pair.base.directory), float_weights(pair.tuned.directory)
    for name, weights in candidates.tensors(candidates.interpolation(0.3)):
        expected = base[name] + np.float32(0.3) * (tuned[name] - base[name])
        assert np.array_equal(weights, expected)


def test_ends_are_tuned_and_base_bit_for_bit(pair):
    candidates = Candidates(pair)
    base, tuned = float_weights(pair.base.directory), float_weights(pair.tuned.directory)
    for candidate, expected in (
        (candidates.tuned, tuned),
        (candidates.interpolation(1.0), tuned),
        (candidates.interpolation(0.0), base),
        (candidates.ranked("random", [100])[0], base),
        (candidates.ranked("random", [0])[0], tuned),
    ):
        for name, weights in candidates.tensors(candidate):
            assert weights.tobytes() == expected[name].tobytes()


def test_every_candidate_gives_every_tensor_of_the_region(pair):
    candidates = Candidates(pair)
    names = [name for name, _ in candidates.tensors(candidates.ranked("absolute", [1])[0])]
    assert names == ["model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.q_proj.weight"]
    for name, weights in candidates.tensors(candidates.tuned):
        assert weights.shape == SHAPES[name]


def test_tied_repeats_and_added_rows_come_along(tmp_path):
    base = random_values()
    tuned = moved(base)
    grown = np.concatenate([tuned["model.embed_tokens.weight"], np.ones((2, 4), np.float32)])
    head = base["model.embed_tokens.weight"]
    write_checkpoint(tmp_path / "b", {**base, "lm_head.weight": head})
    write_checkpoint(
        tmp_path / "t", {**tuned, "model.embed_tokens.weight": grown, "lm_head.weight": grown}
    )
    candidates = Candidates(open_pair(tmp_path / "b", tmp_path / "t"), "embeddings")
    found = dict(candidates.tensors(candidates.interpolation(0.0)))
    assert sorted(found) == ["lm_head.weight", "model.embed_tokens.weight"]
    for weights in found.values():
        assert np.array_equal(weights[:10], head)
        assert (weights[10:] == 1).all()


def test_equal_models_have_nothing_to_repair(tmp_path):
    base, _ = write_pair(tmp_path)
    with pytest.raises(BadInput, match="nothing to repair"):
        Candidates(open_pair(base, base))


@pytest.mark.parametrize("percent", [-1, 101])
def test_percent_outside_0_to_100(pair, percent):
    with pytest.raises(BadInput, match="allowed is 0 to 100"):
        Candidates(pair).ranked("relative", [percent])


def test_remaining_outside_0_to_1(pair):
    with pytest.raises(BadInput, match="allowed is 0 to 1"):
        Candidates(pair).interpolation(1.5)
