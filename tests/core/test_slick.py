from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.levels import SLICK_CLASSES
from sixtyfold.core.slick import right_shares, slick_class

R, W = True, False


@pytest.mark.parametrize(
    ("greedy", "sampled", "wanted"),
    [
        ([R, R, R], [[R, R], [R, R], [R, R]], "HighlyKnown"),
        ([R, R, R], [[W, W], [W, W], [W, W]], "HighlyKnown"),
        ([R, R, W], [[R, R], [R, R], [R, R]], "MaybeKnown"),
        ([W, R, W], [[W, W], [W, W], [W, W]], "MaybeKnown"),
        ([W, W, W], [[W, W], [W, W], [W, R]], "WeaklyKnown"),
        ([W, W, W], [[R, R], [R, R], [R, R]], "WeaklyKnown"),
        ([W, W, W], [[W, W], [W, W], [W, W]], "Unknown"),
        ([R], [[W]], "HighlyKnown"),
        ([W], [[W]], "Unknown"),
    ],
)
def test_rules(greedy: list[bool], sampled: list[list[bool]], wanted: str) -> None:
    assert slick_class(greedy, sampled) == wanted


def test_shares_by_hand() -> None:
    shares = right_shares([R, W, W, W], [[R, W], [W, W], [R, R], [W, W]])
    assert shares.greedy == 0.25
    assert shares.sampled == 0.375
    assert right_shares([W, W], [[R, R], [R, R]]) == (0.0, 1.0)


def test_prompts_with_more_samples_weigh_more() -> None:
    assert right_shares([W, W], [[R], [W, W, W]]).sampled == 0.25


@given(st.data())
def test_classes_follow_from_the_shares(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    greedy = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    some = st.lists(st.booleans(), min_size=1, max_size=4)
    sampled = data.draw(st.lists(some, min_size=count, max_size=count))
    p, q = right_shares(greedy, sampled)
    by_definition = {
        "HighlyKnown": p == 1,
        "MaybeKnown": 0 < p < 1,
        "WeaklyKnown": p == 0 and q > 0,
        "Unknown": p == 0 and q == 0,
    }
    assert [name for name, holds in by_definition.items() if holds] == [
        slick_class(greedy, sampled)
    ]
    assert tuple(by_definition) == SLICK_CLASSES


@pytest.mark.parametrize(
    ("greedy", "sampled", "message"),
    [
        ([R, W], [[R]], "greedy answers of 2 prompts and samples of 1 were given; give both"),
        ([], [], "0 prompts with 0 samples in all were given; a class needs at least one greedy"),
        ([R], [[]], "1 prompts with 0 samples in all were given"),
    ],
)
def test_nothing_to_judge_is_an_error(
    greedy: list[bool], sampled: list[list[bool]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        slick_class(greedy, sampled)
