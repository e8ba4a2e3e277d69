"""2,000 damaged files of facts: each is refused in one line that names it, or read whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sources.fuzzed import KINDS, outcome, write_case

CASES = 2000


@pytest.mark.long
def test_two_thousand_damaged_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found: Counter[tuple[str, str]] = Counter()
    why: Counter[str] = Counter()
    for seed in range(10_000, 10_000 + CASES):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        case = write_case(seed, folder)
        opened = outcome(case)
        found[case.kind, opened.what] += 1
        if opened.what == "read, not countable":
            why[opened.reason] += 1
    with capsys.disabled():
        print(f"\n{CASES:,} damaged files")
        for kind in KINDS:
            counts = {what: number for (each, what), number in found.items() if each == kind}
            print(f"  {kind:16}" + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
        for reason, number in why.items():
            print(f"  {number} {reason}")
    assert found.total() == CASES
    assert sum(why.values()) <= CASES // 50
    for kind in KINDS:
        assert min(found[kind, "refused"], found[kind, "read"]) >= CASES // len(KINDS) // 5
