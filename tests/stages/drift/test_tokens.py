from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from sixtyfold.stages.drift.tokens import most_moved, printable, token_sums, token_text

TEXTS = [" Paris", "\n", "\ufffd", " the", ""]


class Words:
    """As much of a tokenizer as is asked of it."""

    def decode(self, ids: list[int], **_: Any) -> str:
        return TEXTS[ids[0]]

    def convert_ids_to_tokens(self, token: int) -> str:
        return f"<raw {token}>"


def logits(*rows: list[float]) -> np.ndarray:
    return np.log(np.array(rows)).astype(np.float32)


BASE = logits([0.1, 0.2, 0.2, 0.4, 0.1], [0.3, 0.2, 0.1, 0.3, 0.1])
TUNED = logits([0.6, 0.2, 0.1, 0.0995, 0.0005], [0.2, 0.2005, 0.1, 0.3995, 0.1])


def test_sums_by_hand() -> None:
    sums = token_sums(TUNED, BASE)
    assert sums["base"].to_list() == pytest.approx([0.4, 0.4, 0.3, 0.7, 0.2], abs=1e-6)
    assert sums["tuned"].to_list() == pytest.approx([0.8, 0.4005, 0.2, 0.499, 0.1005], abs=1e-6)
    # a change of .0005 is no move
    assert sums["up"].to_list() == [1, 0, 0, 1, 0]
    assert sums["down"].to_list() == [1, 0, 1, 1, 1]


def test_most_moved_by_hand() -> None:
    parts = [token_sums(TUNED[:1], BASE[:1]), token_sums(TUNED[1:], BASE[1:])]
    moved = most_moved(parts, 2, Words(), 2)
    assert moved.select("direction", "token", "text").rows() == [
        ("up", 0, " Paris"),
        ("up", 1, "\\n"),
        ("down", 3, " the"),
        ("down", 2, "<raw 2>"),
    ]
    assert moved["mean_change"].to_list() == pytest.approx([0.2, 0.00025, -0.1005, -0.05], abs=1e-6)
    assert moved.row(0, named=True) | {"mean_change": 0} == {
        "direction": "up", "token": 0, "text": " Paris", "mean_change": 0,
        "mean_base": pytest.approx(0.2), "mean_tuned": pytest.approx(0.4), "up": 1, "down": 1,
    }  # fmt: skip


def test_chunks_do_not_matter() -> None:
    one = most_moved([token_sums(TUNED, BASE)], 2, Words(), 5)
    two = most_moved([token_sums(TUNED[:1], BASE[:1]), token_sums(TUNED[1:], BASE[1:])], 2,
                     Words(), 5)  # fmt: skip
    assert one.drop("mean_change", "mean_base", "mean_tuned").equals(
        two.drop("mean_change", "mean_base", "mean_tuned")
    )
    assert one["mean_change"].to_list() == pytest.approx(two["mean_change"].to_list())


def test_what_did_not_move_is_not_listed() -> None:
    assert most_moved([token_sums(BASE, BASE)], 2, Words(), 5).is_empty()


def test_only_shared_tokens_are_listed() -> None:
    larger = np.concatenate([TUNED, logits([0.5], [0.5])], axis=1)
    sums = token_sums(larger, BASE)
    assert sums.height == 5
    assert sums["tuned"].sum() == pytest.approx(2 / 1.5)  # a third of its mass lies outside


def test_texts_are_printable() -> None:
    assert printable("\u202eab\x00\u200b\tč漢") == "\\u202eab\\x00\\u200b\\tč漢"
    assert token_text(Words(), 4) == "<raw 4>"
    assert most_moved([pl.DataFrame({"base": [0.0], "tuned": [1.0], "up": [1], "down": [0]})], 1,
                      Words(), 1)["text"].to_list() == [" Paris"]  # fmt: skip
