"""Damaged files of every kind: 120 of the 2,000 that `tests/long/test_fuzzed_files.py` opens."""

from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.errors import BadInput
from sources import fuzzed


def folder(root: Path, seed: int) -> Path:
    path = root / f"{seed}"
    path.mkdir()
    return path


def test_damaged_files_are_refused_in_a_line_or_read_whole(tmp_path: Path) -> None:
    found: dict[str, int] = {}
    for seed in range(120):
        opened = fuzzed.outcome(fuzzed.write_case(seed, folder(tmp_path, seed)))
        found[opened.what] = found.get(opened.what, 0) + 1
    assert found["refused"] >= 30
    assert found["read"] >= 30
    assert found.get("read, not countable", 0) <= 2


def test_files_without_a_fault_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzed, "_IN_RECORDS", {"keys shuffled": lambda records, _: records})
    monkeypatch.setattr(fuzzed, "_IN_BYTES", {})
    for seed in range(24):
        case = fuzzed.write_case(seed, folder(tmp_path, seed))
        assert fuzzed.outcome(case).what == "read", case


def test_a_case_is_the_same_every_time(tmp_path: Path) -> None:
    for seed in range(16):
        first, again = (
            fuzzed.write_case(seed, folder(tmp_path / n, seed)) for n in _twice(tmp_path)
        )
        if first.path.is_file():
            assert first.path.read_bytes() == again.path.read_bytes()


def _twice(root: Path) -> tuple[str, str]:
    for name in ("one", "two"):
        (root / name).mkdir(exist_ok=True)
    return "one", "two"


def test_a_lost_row_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fuzzed.open_facts

    def one_less(reference: str) -> Any:
        found = whole(reference)
        return found._replace(facts=found.facts.head(found.facts.height - 1))

    path = tmp_path / "case.csv"
    path.write_text("question,answer\na?,b\na?,c\nd?,e\n", encoding="utf-8")
    case = fuzzed.Case(f"table:{path}", path, "table.csv", "none")
    assert fuzzed.outcome(case) == ("read", "3 rows")
    monkeypatch.setattr(fuzzed, "open_facts", one_less)
    with pytest.raises(AssertionError, match=r"1\+1 of 3"):
        fuzzed.outcome(case)


@pytest.mark.parametrize(
    ("told", "message"), [("t: no", "does not name the file"), ("{}: a\nb", "more than a line")]
)
def test_an_unclear_refusal_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, message: str
) -> None:
    def refuse(reference: str) -> None:
        raise BadInput(told.format(reference.partition(":")[2]))

    monkeypatch.setattr(fuzzed, "open_facts", refuse)
    with pytest.raises(AssertionError, match=message):
        fuzzed.outcome(fuzzed.write_case(0, tmp_path))


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n\n3,4", 3),
        ('a,b\r\n"1\r\n""x""",2\r\n', 2),
        ('a,b\r1,x"y\r', 2),
        ('a\n""\n', 2),
    ],
)
def test_the_count_of_delimited_rows(text: str, rows: int) -> None:
    assert fuzzed.delimited_rows(text, ",") == rows
