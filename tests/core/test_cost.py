"""What a run would cost: seconds from tokens and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.cost import (
    PREFILL_SHARE,
    STEP_SHARE,
    UPDATE_BYTES,
    forward_seconds,
    tokens_in,
    update_seconds,
)

WEIGHTS = st.integers(1, 10**12)
TOKENS = st.integers(0, 10**9)
SPEEDS = st.floats(1e6, 1e16)
SECONDS = st.floats(0, 1e9)


def test_seconds_of_a_case_computed_by_hand() -> None:
    seconds = forward_seconds(weights=1000, prefilled=80, stepped=36, speed=2000.0)
    assert seconds == pytest.approx(80 / PREFILL_SHARE + 36 / STEP_SHARE)
    assert seconds == pytest.approx(100 + 100)


@given(WEIGHTS, TOKENS, TOKENS, SPEEDS)
def test_tokens_are_what_their_seconds_buy(
    weights: int, prefilled: int, stepped: int, speed: float
) -> None:
    seconds = forward_seconds(weights, prefilled, stepped, speed)
    # The prefill is subtracted again, so its rounding counts as well.
    assert tokens_in(seconds, weights, prefilled, speed) == pytest.approx(
        stepped, rel=1e-9, abs=1e-9 * (1 + prefilled)
    )


@given(WEIGHTS, TOKENS, SPEEDS, SECONDS, SECONDS)
def test_more_seconds_buy_no_fewer_tokens(
    weights: int, prefilled: int, speed: float, one: float, two: float
) -> None:
    few, many = (tokens_in(each, weights, prefilled, speed) for each in sorted((one, two)))
    assert 0 <= few <= many


@given(WEIGHTS, SPEEDS, SECONDS, TOKENS, TOKENS)
def test_longer_prompts_leave_no_more_tokens(
    weights: int, speed: float, seconds: float, one: int, two: int
) -> None:
    short, long = sorted((one, two))
    assert tokens_in(seconds, weights, long, speed) <= tokens_in(seconds, weights, short, speed)


def test_seconds_that_do_not_cover_the_prompts_buy_nothing() -> None:
    needed = forward_seconds(1000, 500, 0, 1e6)
    assert tokens_in(0.9 * needed, 1000, 500, 1e6) == 0.0
    assert tokens_in(0.0, 1000, 0, 1e6) == 0.0


@given(WEIGHTS, st.integers(0, 10**6), SPEEDS)
def test_steps_cost_the_same_whatever_their_tokens(
    weights: int, steps: int, bandwidth: float
) -> None:
    one = update_seconds(weights, 1, bandwidth)
    assert update_seconds(weights, steps, bandwidth) == pytest.approx(steps * one)
    assert one == pytest.approx(UPDATE_BYTES * weights / bandwidth)
