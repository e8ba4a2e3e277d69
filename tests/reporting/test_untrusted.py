"""Text of others: shown, never obeyed."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.reporting.untrusted import script_json, visible


@given(st.text())
def test_json_in_a_script_reads_back_and_holds_no_markup(text: str) -> None:
    written = script_json({"answer": text})
    assert json.loads(written) == {"answer": text}
    assert not set(written) & set("<>&\u2028\u2029")


@given(st.text())
def test_visible_text_holds_no_character_that_acts(text: str) -> None:
    shown = visible(text)
    assert all(code >= 0x20 and not 0x7F <= code <= 0x9F for code in map(ord, shown))
    assert not set(shown) & set("\u200e\u200f\u202a\u202b\u202d\u202e\u2066\u2067\u2069\ufeff")


def test_names_keep_their_spelling() -> None:
    for name in ("São Paulo", "Ελλάδα", "میان‌رودان", "ශ්‍රී ලංකා", "東京", "🇫🇷"):
        assert visible(name) == name


def test_a_megabyte_is_cut_and_says_so() -> None:
    shown = visible("x" * 1_000_000)
    assert len(shown) < 500
    assert shown.endswith("… (1000000 characters)")


def test_nothing_is_empty() -> None:
    assert visible(None) == ""
