from __future__ import annotations

from typing import Any

import pytest

from sixtyfold.engines.vocabulary import vocabulary
from toy_chain import TOKENS, ToyTokenizer


@pytest.fixture(scope="module")
def ends(planted_tokenizer: Any) -> Any:
    return vocabulary(planted_tokenizer, len(planted_tokenizer) + 3, frozenset({0})).ends_word


@pytest.mark.parametrize(
    ("text", "ending"),
    [(" is", True), (".", True), ("\n", True), ("a", False), ("_", False), ("7", False)],
)
def test_what_ends_a_word(planted_tokenizer: Any, ends: Any, text: str, ending: bool) -> None:
    (token,) = planted_tokenizer(text, add_special_tokens=False)["input_ids"]
    assert ends[token] == ending


def test_stop_token_ends_a_word_and_numbers_beyond_the_tokenizer_do_not(ends: Any) -> None:
    assert ends[0]
    assert not ends[-3:].any()


def test_bytes_inside_a_character_end_nothing(planted_tokenizer: Any, ends: Any) -> None:
    ids = planted_tokenizer("é", add_special_tokens=False)["input_ids"]
    assert len(ids) == 2
    assert not ends[ids].any()


def test_a_sign_that_normalises_to_letters_ends_no_word() -> None:
    table = vocabulary(ToyTokenizer(), len(TOKENS), frozenset({0})).ends_word
    found = {TOKENS[token] for token in range(len(TOKENS)) if table[token]}
    assert found == {"<e>", " New", " York", " City", ",", " of", " the", " new", " Y"}
