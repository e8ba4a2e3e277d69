"""What prompts have in common, so that a model reads it once.

Questions of one relation begin alike, and with worked examples nearly all of a prompt is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Shared(NamedTuple):
    """Prompts that begin alike.

    length: how many first tokens they share, at least one and fewer than the shortest of them has;
        of a prompt alone, all but its last.
    rows: indices of these prompts.
    """

    length: int
    rows: list[int]


def shared_prefixes(prompts: Sequence[Sequence[int]], least: float = 0.25) -> list[Shared]:
    """Sort prompts into groups that begin alike, so that as many tokens as possible are read once.

    All neighbours (in the order of their tokens) that share at least so many tokens are one group;
    of all such numbers the one that saves most is taken.

    Args:
        prompts: non-empty id sequences.
        least: smallest share of all tokens worth saving.

    Returns:
        every prompt in one group; nothing if too little would be saved, or if a prompt of a single
        token would be left alone.

    >>> shared_prefixes([[7, 8, 9, 1], [3, 4], [7, 8, 9, 2]])
    [Shared(length=1, rows=[1]), Shared(length=3, rows=[0, 2])]
    >>> shared_prefixes([[1, 2, 3], [4, 5, 6]])
    []
    """
    order = sorted(range(len(prompts)), key=lambda row: list(prompts[row]))
    in_common = [_in_common(prompts[one], prompts[two]) for one, two in pairwise(order)]
    best, most = [], least * sum(map(len, prompts))
    for least_common in sorted(set(in_common) - {0}):
        groups = _groups(order, in_common, least_common)
        saved = sum(length * (len(rows) - 1) for length, rows in groups if len(rows) > 1)
        if saved > most:
            best, most = groups, saved
    shared = [
        Shared(length if len(rows) > 1 else len(prompts[rows[0]]) - 1, rows)
        for length, rows in best
    ]
    return shared if all(each.length for each in shared) else []


def _in_common(one: Sequence[int], two: Sequence[int]) -> int:
    """Return how many first tokens are equal, leaving each at least one of its own."""
    longest = min(len(one), len(two)) - 1
    return next((at for at in range(longest) if one[at] != two[at]), longest)


def _groups(order: list[int], in_common: list[int], least: int) -> list[tuple[int, list[int]]]:
    """Cut sorted rows where neighbours share fewer than `least` tokens; with what each shares."""
    groups: list[tuple[int, list[int]]] = []
    for row, common in zip(order, [0, *in_common], strict=True):
        if common < least:
            groups.append((0, [row]))
            continue
        length, rows = groups[-1]
        groups[-1] = (common if len(rows) == 1 else min(length, common), [*rows, row])
    return groups
