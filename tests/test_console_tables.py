"""Tables on a narrow terminal: nothing of a number is cut, and no text is lost."""

from __future__ import annotations

import sys

import polars as pl
import pytest

from sixtyfold import printing
from sixtyfold.console_sql import show_sql
from sixtyfold.printing import print_frame
from sixtyfold.study.spec import SqlSpec

LABELS = ["size", "levels", "options", "part"]
ROWS = pl.DataFrame(
    {
        "size": ["60", "1920"],
        "levels": ["natural", "natural"],
        "options": ["preset ye2025, epochs 4", "preset ye2025, epochs 4"],
        "part": ["interpolation 0.35", "relative 20%"],
        "mean": [0.51234, None],
        "sd": [0.012, 0.013],
        "lowest": [-0.5, 0.25],
        "highest": [0.625, 0.75],
        "against_the_next": [-0.125, 0.375],
        "seeds": [3, 30],
    }
)


@pytest.mark.parametrize("width", [60, 80, 100, 300])
def test_every_number_and_word_is_there(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "FILE_WIDTH", width)
    print_frame(ROWS, LABELS, digits=".3g", missing="–")
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in printed
    words = [
        *[
            "0.512",
            "–",
            "0.012",
            "0.013",
            "-0.5",
            "0.25",
            "0.625",
            "0.75",
            "-0.125",
            "0.375",
            "3",
            "30",
        ]
    ]
    words += [
        "60",
        "1920",
        "natural",
        "preset",
        "ye2025,",
        "epochs",
        "4",
        "interpolation",
        "0.35",
        "relative",
        "20%",
    ]
    words += ["highest", "seeds", "against", "the", "next"]
    cells = printed.replace("│", " ").replace("┃", " ").split()
    assert [word for word in words if word not in cells] == []


def test_what_goes_on_below_says_of_which_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "FILE_WIDTH", 80)
    print_frame(ROWS, LABELS)
    tables = capsys.readouterr().out.split("┏")[1:]
    assert len(tables) > 1
    assert all(" row " in table and " 2 " in table for table in tables)
    print_frame(ROWS.drop("options", "part"), ["size"])
    tables = capsys.readouterr().out.split("┏")[1:]
    assert all(" size " in table and " 1920 " in table for table in tables)


def test_nothing_is_a_table_of_headings(capsys: pytest.CaptureFixture[str]) -> None:
    print_frame(ROWS.clear(), LABELS)
    assert "mean" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("terminal", "shown"), [(True, "a⟨U+001B⟩[2J⟨U+202E⟩"), (False, "a\x1b[2J\u202e")]
)
def test_csv_is_data_in_a_file_and_does_nothing_to_a_terminal(
    terminal: bool, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    spec = SqlSpec(store="s", query="q", format="csv")
    show_sql(pl.DataFrame({"text": ["a\x1b[2J\u202e"]}), spec, silent=False)
    assert capsys.readouterr().out == f"text\n{shown}\n"
