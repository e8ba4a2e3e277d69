"""The matcher against real continuations of the embedded model labelled by two readers.

`data/labelled_continuations.jsonl`: 444 continuations (32 tokens, T 0.7) of cloze prompts, half of
them chosen where the modes disagree. Two readers read each one without seeing what a mode decides;
`named` says whether the right object is named as itself, `asserted` whether it is given as the
answer. The first round was labelled before the matcher was finished, the second after. 274 of the
facts behind them are from EntityQuestions (MIT licence): without subject and answer a label cannot
be checked.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.matching import MatchMode, matcher
from sixtyfold.core.statistics import wilson

MODES: tuple[MatchMode, ...] = ("paper", "standard", "loose", "strict")


@functools.cache
def labelled() -> list[dict[str, Any]]:
    lines = (Path(__file__).parent / "data" / "labelled_continuations.jsonl").read_text()
    return [json.loads(line) for line in lines.splitlines()]


def hit(mode: MatchMode, row: dict[str, Any]) -> bool:
    return matcher(mode, row["objects"], row["subject"]).hit(row["continuation"])


def agreement(mode: MatchMode, rows: list[dict[str, Any]], label: str = "named") -> float:
    right = sum(hit(mode, row) == bool(row[label]) for row in rows)
    estimate = wilson(right, len(rows))
    assert estimate is not None
    print(
        f"{mode:<9}{label:<9}{100 * estimate.value:.1f}% "
        f"({100 * estimate.low:.1f}-{100 * estimate.high:.1f}), n {len(rows)}"
    )
    return estimate.value


def test_there_are_enough_and_hard_ones() -> None:
    rows = labelled()
    hard = [row for row in rows if len({hit(mode, row) for mode in MODES[:3]}) > 1]
    assert len(rows) == 444
    assert len(hard) >= 150
    assert all(row["asserted"] <= row["named"] for row in rows)
    assert sum(row["readers_agree"] for row in rows) / len(rows) > 0.98


def test_standard_agrees_with_the_readers() -> None:
    found = {mode: agreement(mode, labelled()) for mode in MODES}
    assert found["standard"] >= 0.955
    assert all(
        found["standard"] > share + 0.1 for mode, share in found.items() if mode != "standard"
    )
    agreement("standard", labelled(), "asserted")


@pytest.mark.parametrize("part", ["first", "second"])
def test_both_rounds(part: str) -> None:
    rows = [row for row in labelled() if row["round"] == part]
    assert len(rows) >= 190
    assert agreement("standard", rows) >= 0.95
