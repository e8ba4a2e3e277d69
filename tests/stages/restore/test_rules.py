"""One matrix for all rules: a new rule is one more line in RULES and is tested here."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from made_up_checkpoints import write_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput
from sixtyfold.stages.restore.alternatives import FAMILIES
from sixtyfold.stages.restore.names import RuleName
from sixtyfold.stages.restore.plans import RankedPlan
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.rules.rule import Spot
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.stages.restore.threshold import Aim, Ranking, cut

BASE = np.float32([1.0, -2.0, 0.0, 0.5, 1e-7, 3.0])
UPDATE = np.float32([0.1, 0.4, 1e-3, 0.0, -1e-6, -0.6])
FIRST = {"relative": 2, "absolute": 5, "smallest": 3}


def masks(ranking: Ranking, counts: list[int]) -> list[np.ndarray]:
    """Which weights each cut puts back, found by comparing with the base."""
    found = []
    for each in cut(ranking, [Aim(number=count) for count in counts]):
        plan = RankedPlan("all", ranking, each)
        runs = [run for tensor in ranking.tensors for run in plan.chunks(tensor)]
        found.append(np.concatenate([run.values == run.chunk.base for run in runs]))
    return found


@pytest.mark.parametrize("rule", sorted(RULES))
def test_scores_are_finite_float32_of_the_same_shape(rule):
    scores = RULES[rule](BASE, UPDATE, Spot(0, "w", 0))
    assert scores.dtype == np.float32
    assert scores.shape == BASE.shape
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("rule", sorted(RULES))
def test_scoring_changes_nothing(rule):
    base, update = BASE.copy(), UPDATE.copy()
    base.flags.writeable = update.flags.writeable = False
    first = RULES[rule](base, update, Spot(0, "w", 0))
    assert np.array_equal(first, RULES[rule](base, update, Spot(0, "w", 0)))


@pytest.mark.parametrize("rule", sorted(FIRST))
def test_higher_is_restored_first(rule):
    assert int(np.argmax(RULES[rule](BASE, UPDATE, Spot(0, "w", 0)))) == FIRST[rule]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_nested(tmp_path, rule):
    ranking = Ranking(open_pair(*write_pair(tmp_path)).region("all"), rule, 0)
    counts = [0, 1, 3, 17, 60, 110, ranking.numel]
    before = np.zeros(ranking.numel, bool)
    for mask in masks(ranking, counts):
        assert (mask | ~before).all()
        before = mask
    assert before.all()


def test_random_depends_on_seed_tensor_and_position_alone():
    score = RULES["random"]
    first = score(BASE, UPDATE, Spot(0, "w", 0))
    for other in (Spot(1, "w", 0), Spot(0, "v", 0), Spot(0, "w", 6)):
        assert not np.array_equal(first, score(BASE, UPDATE, other))


def test_random_is_uniform():
    many = RULES["random"](np.zeros(40_000, np.float32), np.zeros(40_000, np.float32),
                           Spot(0, "w", 0))  # fmt: skip
    counts = np.histogram(many, 10, (0, 1))[0]
    assert np.all(np.abs(counts - 4000) < 5 * np.sqrt(4000))


def test_the_spec_knows_every_rule(tmp_path):
    assert set(get_args(RuleName)) == set(RULES)
    assert set(get_args(RestoreSpec.model_fields["rule"].annotation)) == set(FAMILIES)
    with pytest.raises(BadInput, match="option 'rule' was given 'biggest'"):
        RestoreSpec.parse({"tuned": "t", "out": tmp_path, "rule": "biggest"})
    with pytest.raises(BadInput, match="give --alpha with --rule interpolation"):
        RestoreSpec.parse({"tuned": "t", "out": tmp_path, "rule": "interpolation"})
    with pytest.raises(BadInput, match="option 'top' was given 101"):
        RestoreSpec.parse({"tuned": "t", "out": tmp_path, "top": 101})
