"""Watched tokens: no path reaches the end of an answer with a token that is not watched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixtyfold.core.matching import MatchMode, matcher
from sixtyfold.engines.vocabulary import Vocabulary, vocabulary
from sixtyfold.stages.probe.answer_ends import watched

TOKENS = (
    *("<e>", "x", " New", " York", "er", " City", ",", " of", " the", "™", " new", " Y", "or"),
    *(
        "k",
        "\n",
        "  ",
        " ",
        "é",
        "e",
        "\u0301",
        " Caf",
        "ﬁ",
        "\u00a0",
        "s",
        "es",
        " cat",
        " TM",
        "m",
    ),
    *(
        " New York",
        " YORK, NY",
        "ſ",
        " Å",
        "A",
        "\u030a",
        ".",
        " U",
        ".S",
        " 한",
        "\u1112",
        "\u1161",
    ),
    *("\u11ab", "West", " West", " \u0995\u09c7", "\u09be", "<file>"),
    *(b"\xe2\x82", b"\xac", b" Y\xc3", b"\xa9"),
)
SILENT = {0, TOKENS.index("<file>")}
CASES: list[tuple[MatchMode, list[str], str]] = [
    ("standard", ["New York"], "s"),
    ("standard", ["Café", "cat"], "s"),
    ("standard", ["U.S.", "TM", "fi"], "s"),
    ("standard", ["York"], "York City"),
    ("standard", ["York"], "York"),
    ("standard", ["Å", "한"], "s"),
    ("paper", ["New York", "ork"], "s"),
    ("paper", ["é", "York, "], "s"),
    ("loose", ["the York"], "s"),
    ("strict", ["York"], "s"),
    ("standard", ["\u0995\u09c7", "\u0995\u09cb", "€"], "s"),
]


class Tokens:
    """Characters as they are; one token a text."""

    all_special_ids = (0,)

    def __len__(self) -> int:
        return len(TOKENS)

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [TOKENS.index(text)]}

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        texts = (TOKENS[each] for each in ids if each not in SILENT)
        found = b"".join(each if isinstance(each, bytes) else each.encode() for each in texts)
        return found.decode(errors="replace")

    def batch_decode(self, rows: Sequence[Sequence[int]], **_: Any) -> list[str]:
        return [self.decode(row) for row in rows]


@pytest.fixture(scope="module")
def words() -> Vocabulary:
    return vocabulary(Tokens(), len(TOKENS) + 3, frozenset({0}))


@pytest.mark.parametrize("case", CASES, ids=[f"{c[0]}-{'/'.join(c[1])}" for c in CASES])
def test_nothing_is_missed(words: Vocabulary, case: tuple[MatchMode, list[str], str]) -> None:
    mode, objects, subject = case
    hits = matcher(mode, objects, subject)
    table = watched(words, hits)

    @settings(max_examples=400)
    @given(st.lists(st.integers(1, len(TOKENS) - 1), min_size=1, max_size=7))
    def check(ids: list[int]) -> None:
        """Read the text where the probe reads it; nothing may happen anywhere else."""
        waiting = False
        for end, token in enumerate(ids, 1):
            text = Tokens().decode(ids[:end])
            if table[token] or waiting:
                if hits.confirmed(text):
                    return
                waiting = hits.pending(text)
                continue
            assert not hits.pending(text), (text, token)
            assert not hits.confirmed(text), (text, token)
            assert mode == "strict" or not hits.hit(text), (text, token)

    check()


def test_few_tokens_are_watched(words: Vocabulary) -> None:
    found = watched(words, matcher("standard", ["New York"], "s"))
    texts = {TOKENS[index] for index in np.flatnonzero(found) if index < len(TOKENS)}
    assert " New York" in texts
    assert " York" in texts
    assert "k" in texts
    assert not texts & {" of", ",", " City", "er", " New"}


def test_tokens_without_text_end_no_word(words: Vocabulary) -> None:
    """ "York<file>shire" is no hit for York, whether or not a tokenizer lists the token."""
    assert not words.ends_word[TOKENS.index("<file>")]
    assert words.ends_word[0]  # the stop token does
    assert words.ends_word[TOKENS.index(",")]
    assert not words.ends_word[TOKENS.index("\u09be")]
