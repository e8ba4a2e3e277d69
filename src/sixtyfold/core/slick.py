"""SliCK: how surely a model answers, in four classes (Gekhman et al., arXiv 2405.05904, section 3).

A fact is asked with several few-shot prompts; each gives one greedy answer and some sampled ones.

    HighlyKnown   every greedy answer is right
    MaybeKnown    some greedy answers are right, not all
    WeaklyKnown   no greedy answer is right, some sampled answer is
    Unknown       no answer is right

Knows which answers are right; does not know what makes them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sixtyfold.core.levels import SLICK_CLASSES

HIGHLY_KNOWN, MAYBE_KNOWN, WEAKLY_KNOWN, UNKNOWN = SLICK_CLASSES


class RightShares(NamedTuple):
    """Shares of right answers, in [0, 1].

    greedy: P(T = 0), over the prompts.
    sampled: P(T > 0), over the samples of all prompts together.
    """

    greedy: float
    sampled: float


def right_shares(
    greedy_right: Sequence[bool], sampled_right: Sequence[Sequence[bool]]
) -> RightShares:
    """Return the shares of right answers of a fact.

    Args:
        greedy_right: whether each prompt's greedy answer is right.
        sampled_right: whether each of a prompt's sampled answers is right, prompt by prompt.

    Raises:
        ValueError: there is no greedy or no sampled answer, or the prompts are not as many.

    >>> right_shares([True, False], [[True, True], [True, False]])
    RightShares(greedy=0.5, sampled=0.75)
    """
    if len(greedy_right) != len(sampled_right):
        raise ValueError(
            f"greedy answers of {len(greedy_right)} prompts and samples of {len(sampled_right)} "
            "were given; give both for every prompt"
        )
    samples = [right for each in sampled_right for right in each]
    if not samples:
        raise ValueError(
            f"{len(greedy_right)} prompts with 0 samples in all were given; "
            "a class needs at least one greedy and one sampled answer"
        )
    return RightShares(sum(greedy_right) / len(greedy_right), sum(samples) / len(samples))


def slick_class(greedy_right: Sequence[bool], sampled_right: Sequence[Sequence[bool]]) -> str:
    """Return the class of a fact.

    Args:
        greedy_right: whether each prompt's greedy answer is right.
        sampled_right: whether each of a prompt's sampled answers is right, prompt by prompt. A
            single right one is enough for WeaklyKnown, and none can raise a fact above it.

    Raises:
        ValueError: there is no greedy or no sampled answer, or the prompts are not as many.

    >>> slick_class([True, True], [[False], [False]])
    'HighlyKnown'
    >>> slick_class([True, False], [[True], [True]])
    'MaybeKnown'
    >>> slick_class([False, False], [[True], [True]])
    'WeaklyKnown'
    >>> slick_class([False, False], [[False], [False]])
    'Unknown'
    """
    shares = right_shares(greedy_right, sampled_right)
    if all(greedy_right):
        return HIGHLY_KNOWN
    if any(greedy_right):
        return MAYBE_KNOWN
    return WEAKLY_KNOWN if shares.sampled > 0 else UNKNOWN
