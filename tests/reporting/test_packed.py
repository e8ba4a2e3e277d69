"""Long tables: packed whole where they fit, shorter and fewer where not, and saying so."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.reporting.packed import packed, packed_within, unpacked

CELLS = st.lists(st.text(), min_size=1, max_size=20)


@given(CELLS, st.lists(st.one_of(st.none(), st.integers(-5, 5)), min_size=1, max_size=20))
def test_what_is_packed_is_unpacked(texts: list[str], numbers: list[int | None]) -> None:
    columns: dict[str, Any] = {"text": texts, "number": numbers}
    text = packed(columns, ["text"])
    surrogates = [each.encode("utf-8", "replace").decode() for each in texts]
    assert unpacked(text) == {"text": surrogates, "number": numbers}
    assert not set(text) & set("<>&\"'")
    assert packed(columns, ["text"]) == text


def test_many_different_texts_are_packed_as_they_are() -> None:
    texts = [f"answer {number}" for number in range(3000)]
    assert unpacked(packed({"answer": texts}, [])) == {"answer": texts}


def noise(length: int, rows: int = 300) -> dict[str, list[str]]:
    """Texts that do not get smaller."""
    draw = random.Random(0)  # noqa: S311 - no secret
    return {"answer": ["".join(map(chr, draw.choices(range(33, 127), k=length)))
                       for _ in range(rows)]}  # fmt: skip


def test_a_table_that_fits_is_whole() -> None:
    found = packed_within(noise, [], most=10_000_000)
    assert found.left_out is None
    assert unpacked(found.text) == noise(400)


def test_texts_are_shortened_before_rows_are_left_out() -> None:
    found = packed_within(noise, [], most=60_000)
    assert found.left_out == "Texts are cut at 160 characters to keep this file small."
    assert unpacked(found.text) == noise(160)


def test_rows_that_do_not_fit_are_counted() -> None:
    found = packed_within(noise, [], most=9_000)
    assert len(found.text) <= 9_000
    kept = unpacked(found.text)["answer"]
    assert 50 < len(kept) < 300
    assert kept == noise(60)["answer"][: len(kept)]
    assert found.left_out is not None
    assert found.left_out.startswith(f"Only the first {len(kept)} of 300 rows fit")
