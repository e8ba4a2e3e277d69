"""Slopes, left-out errors and intervals, by hand and on made-up studies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_trainings import Truth, made_up_cells
from sixtyfold.workflows.check.calibration.effects import (
    LeftOut,
    Sets,
    arrays,
    comparable,
    covered,
    departures,
    errors_of,
    interval,
    left_out,
    single,
    slopes_of,
)
from sixtyfold.workflows.check.calibration.fit import sets_of


def sets(*rows: tuple[float, float, float, str, str, str]) -> Sets:
    """Return sets of (share, share, outcome, block, group, model)."""
    first, second, outcomes, blocks, groups, models = zip(*rows, strict=True)
    return Sets(
        np.column_stack([first, second]), np.array(outcomes),
        np.array(blocks), np.array(groups), np.array(models),
        arrays([np.array([-0.01, 0.01])] * len(outcomes)),
    )  # fmt: skip


#: Two models of different height; outcome falls by .2 per share of level 0 in both.
EXACT = sets(
    (1.0, 0.0, 0.30, "a60", "60 0", "a"),
    (0.0, 1.0, 0.55, "a60", "60 2", "a"),
    (0.0, 0.0, 0.50, "a60", "60 4", "a"),
    (1.0, 0.0, 0.10, "b60", "60 0", "b"),
    (0.0, 1.0, 0.35, "b60", "60 2", "b"),
    (0.0, 0.0, 0.30, "b60", "60 4", "b"),
)


def test_slopes_by_hand_whatever_a_block_adds() -> None:
    assert slopes_of(EXACT) == pytest.approx([-0.2, 0.05])


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=2))
@settings(max_examples=20, deadline=None)
def test_what_a_block_adds_to_all_its_sets_changes_nothing(added: list[float]) -> None:
    moved = EXACT._replace(outcomes=EXACT.outcomes + np.repeat(added, 3))
    assert slopes_of(moved) == pytest.approx(slopes_of(EXACT), abs=1e-9)
    for folds in (EXACT.groups, EXACT.models):
        one, other = left_out(moved, folds), left_out(EXACT, folds)
        assert one.residuals == pytest.approx(other.residuals, abs=1e-9)


def test_departures_are_from_the_other_sets_of_the_block() -> None:
    # .30 less the mean of .55 and .50; then the same for the others.
    expected = [-0.225, 0.15, 0.075, -0.225, 0.15, 0.075]
    assert departures(EXACT, EXACT.outcomes) == pytest.approx(expected)


def test_what_is_left_out_is_not_fitted_on() -> None:
    wrong = EXACT._replace(outcomes=np.array([0.3, 0.55, 0.5, 0.5, 0.35, 0.3]))  # b: level 0 best
    found = left_out(wrong, wrong.models)
    assert found.slopes["b"] == pytest.approx([-0.2, 0.05])  # of a alone
    assert found.slopes["a"] == pytest.approx([0.2, 0.05])
    assert errors_of(found).gain < 0
    exact = left_out(EXACT, EXACT.models)
    assert exact.residuals == pytest.approx(np.zeros(6), abs=1e-12)


def test_errors_by_hand() -> None:
    found = LeftOut(
        np.array(["a", "a", "b"]), np.array([0.4, -0.2, 0.2]), np.array([0.3, 0.1, 0.2]), {}
    )
    errors = errors_of(found)
    assert (errors.folds, errors.sets) == (2, 3)
    assert errors.error == pytest.approx((0.1 + 0.3 + 0.0) / 3)
    assert errors.constant == pytest.approx(0.8 / 3)
    # a: mean of .4 − .1 and .2 − .3; b: .2 − 0. Their mean is .15, sd .0707, t of 1 degree 6.314.
    assert errors.gain == pytest.approx(0.15)
    assert errors.low == pytest.approx(0.15 - 6.3138 * 0.070711 / np.sqrt(2), abs=1e-4)


def test_a_single_fold_has_no_bound() -> None:
    found = LeftOut(np.array(["a"]), np.array([0.4]), np.array([0.3]), {})
    assert errors_of(found).low is None


def test_an_interval_by_hand() -> None:
    found = LeftOut(
        np.repeat(["a", "b"], 2),
        np.array([0.01, 0.02, 0.03, 0.04]),
        np.zeros(4),
        {"a": np.array([1.0, 0.0]), "b": np.array([2.0, 0.0])},
    )
    moved = np.array([0.1, 0.0])  # .1 by the slopes of a, .2 by those of b
    assert interval(found, moved, 0.95) == pytest.approx((0.08, 0.24))  # too few: the widest
    # Lows .08 .09 .16 .17, highs .11 .12 .23 .24; .4 · 5 = 2: the second from either end.
    assert interval(found, moved, 0.6) == pytest.approx((0.09, 0.23))


def test_blocks_of_one_set_are_left_out() -> None:
    alone = sets((1.0, 0.0, 0.3, "c", "60 0", "c"))
    both = Sets(*(np.concatenate(pair) for pair in zip(EXACT, alone, strict=True)))
    assert comparable(both).models.tolist() == EXACT.models.tolist()


def test_single_trainings_stand_around_the_mean_of_their_set() -> None:
    found = left_out(EXACT, EXACT.models)
    each = single(found, EXACT)
    assert each.folds.tolist() == ["a"] * 6 + ["b"] * 6
    assert each.residuals == pytest.approx(np.full(12, 0.01))  # the sets themselves are met


def share_held(truth: Truth) -> float:
    held, trainings = 0, 0
    for seed in range(10):
        found = sets_of(made_up_cells(truth, seed), "accuracy")
        held += int(covered(found).sum())
        trainings += sum(len(each) for each in found.seeds)
    return held / trainings


def test_intervals_hold_about_as_many_trainings_as_they_say() -> None:
    alike = share_held(Truth((-0.1, 0.0)))
    assert 0.92 <= alike <= 0.99
    # What is measured is not what is promised: slopes that differ by model are held less often.
    assert share_held(Truth((-0.1, 0.0), by_model=0.3)) < alike
