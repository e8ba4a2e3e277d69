"""Progress: a bar where there is a terminal, lines now and then in a file, nothing when quiet."""

from __future__ import annotations

import io

import pytest

from sixtyfold.core import progress as module
from sixtyfold.core.progress import progress
from sixtyfold.core.verbosity import saying, tell, tell_detail


class Clock:
    """A clock that goes on by so many seconds a step."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(seconds: float, steps: int, monkeypatch: pytest.MonkeyPatch,
          capsys: pytest.CaptureFixture[str]) -> list[str]:  # fmt: skip
    monkeypatch.setattr(module.time, "monotonic", Clock(seconds).monotonic)
    assert list(progress(range(steps), "probe", steps)) == list(range(steps))
    return capsys.readouterr().err.splitlines()


def test_what_is_soon_done_leaves_no_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lines(0.1, 100, monkeypatch, capsys) == []


def test_a_log_file_has_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lines(5.0, 40, monkeypatch, capsys)
    assert found == [  # after 15 s, then every 60 s
        "probe: 3 of 40, about 3 min left",
        "probe: 15 of 40, about 2 min left",
        "probe: 27 of 40, about 1 min left",
        "probe: 39 of 40, about 5 s left",
    ]


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(module.sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress("ab", "[red]probe", 2)) == ["a", "b"]
    written = terminal.getvalue()
    assert "[red]probe" in written
    assert "2/2" in written


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_without_control_characters_has_none(
    term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(module.sys, "stderr", terminal)
    monkeypatch.setenv("TERM", term)
    assert list(progress("ab", "probe", 2)) == ["a", "b"]
    assert terminal.getvalue() == ""


def test_quiet_says_nothing_and_verbose_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with saying("quiet"):
        assert lines(50.0, 9, monkeypatch, capsys) == []
        tell("a line")
    tell_detail("a detail")
    assert capsys.readouterr().err == ""
    with saying("verbose"):
        tell_detail("a \x1bdetail")
    assert capsys.readouterr().err == "a ⟨U+001B⟩detail\n"
