from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.matching import matcher
from sixtyfold.engines.vocabulary import vocabulary
from sixtyfold.stages.probe.prompts import answer_trie
from sixtyfold.stages.probe.trie import build_trie
from toy_chain import TOKENS, ToyTokenizer

ENDS = np.array([True, False, False, True, False])
SPELLINGS = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), max_size=8)


def test_leaves_are_the_longest_spellings_that_fit() -> None:
    trie = build_trie([(1, 2), (1, 2, 4), (2,)], ENDS)
    assert trie.leaves(1, 3) == [(1, 2, 4)]
    assert trie.leaves(1, 2) == [(1, 2)]
    assert trie.leaves(1, 1) == []
    assert trie.leaves(2, 3) == [(2,)]


def test_what_goes_on_behind_an_end_of_word_is_left_out() -> None:
    trie = build_trie([(1, 3, 2), (1,), (1, 2)], ENDS)
    assert {node.path for node in trie.nodes if node.terminal} == {(1,), (1, 2)}


@given(SPELLINGS)
def test_no_event_holds_another(spellings: list[tuple[int, ...]]) -> None:
    """The event of a terminal node is: its path, then a token that ends a word."""
    terminal = [node.path for node in build_trie(spellings, ENDS).nodes if node.terminal]
    events = [(*path, token) for path in terminal for token in np.flatnonzero(ENDS)]
    for one in events:
        assert not any(other != one and other[: len(one)] == one for other in events)
        assert not any(path[: len(one)] == one for path in terminal)


@given(SPELLINGS)
def test_every_spelling_is_reached_or_begins_with_an_event(
    spellings: list[tuple[int, ...]],
) -> None:
    terminal = {node.path for node in build_trie(spellings, ENDS).nodes if node.terminal}
    for spelling in spellings:
        held = any(
            spelling[: len(path)] == path and ENDS[spelling[len(path)]]
            for path in terminal
            if len(path) < len(spelling)
        )
        assert spelling in terminal or held


@given(SPELLINGS)
def test_order_of_spellings_changes_nothing(spellings: list[tuple[int, ...]]) -> None:
    assert build_trie(spellings, ENDS) == build_trie(spellings[::-1], ENDS)


@pytest.mark.parametrize(
    ("objects", "terminal"),
    [
        (["New"], {" New"}),
        (["New", "New York"], {" New"}),
        (["New York", "New York City"], {" New York"}),
        (["New York City", "York"], {" New York City", " York"}),
        (["New", "Newer"], {" New", " Newer"}),
    ],
)
def test_accepted_answers_become_disjoint_spellings(objects: list[str], terminal: set[str]) -> None:
    tokenizer = ToyTokenizer()
    words = vocabulary(tokenizer, len(TOKENS), frozenset({0}))
    trie = answer_trie(objects, tokenizer, words, matcher("standard", objects, ""))
    assert {tokenizer.decode(node.path) for node in trie.nodes if node.terminal} == terminal


class Forgetful(ToyTokenizer):
    """Drops the space in front of a text, so that an answer runs into the word before it."""

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [4]} if text.strip() == "New" else super().__call__(text)


def test_a_spelling_that_does_not_read_as_the_answer_is_left_out() -> None:
    tokenizer = Forgetful()
    words = vocabulary(tokenizer, len(TOKENS), frozenset({0}))
    trie = answer_trie(["New"], tokenizer, words, matcher("standard", ["New"], ""))
    assert len(trie.nodes) == 1
