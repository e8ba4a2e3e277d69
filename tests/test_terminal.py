"""The console where it is used: a terminal of 80 columns, a pipe, a log file, a shell."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import unicodedata
from pathlib import Path

import pytest

from made_up_run import HOSTILE, build_run
from sixtyfold.cli import run_command
from sixtyfold.commands import COMMANDS, spec_class

COLUMNS = 80
SIXTYFOLD = [sys.executable, "-m", "sixtyfold"]
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\r")


def environment(**more: str) -> dict[str, str]:
    """The environment of a person at a terminal, without what the tests' own sets."""
    dropped = {"NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES"}
    return {**{k: v for k, v in os.environ.items() if k not in dropped},
            "TERM": "xterm-256color", **more}  # fmt: skip


def on_a_terminal(arguments: list[str], **more: str) -> tuple[int, str]:
    """Run a command on a terminal of 80 columns; return its exit code and all it wrote there."""
    mine, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [*SIXTYFOLD, *arguments], stdin=its, stdout=its, stderr=its, env=environment(**more)
    )
    os.close(its)
    written = b""
    while select.select([mine], [], [], 300)[0]:
        try:
            part = os.read(mine, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        written += part
    os.close(mine)
    return process.wait(), written.decode()


def in_a_pipe(arguments: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SIXTYFOLD, *arguments], capture_output=True, text=True, env=environment(**more),
        check=False, timeout=600,
    )  # fmt: skip


def lines_shown(written: str) -> list[str]:
    return CONTROL.sub("", written).splitlines()


def width(line: str) -> int:
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in line)
    return len(line) + wide


def acting(text: str) -> set[str]:
    """Characters that act on a terminal, line ends excepted."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command that shows tables with many columns, of a run with hostile facts."""
    root = tmp_path_factory.mktemp("compared")
    answers = build_run(root / "run", hostile=HOSTILE) / "answers"
    sides = ["--before", str(answers / "base-test"), "--after", str(answers / "tuned-test")]
    return ["compare", *sides, "--out", str(root / "c")]


@pytest.fixture(scope="module")
def hostile_rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows") / "mine.csv"
    path.write_text("question,answer,relation\nq?,a\x1b[2J,[red]r\x1b[1m\u202e\n", encoding="utf-8")
    return f"table:{path}"


def test_tables_fit_eighty_columns(compared: list[str]) -> None:
    code, written = on_a_terminal(compared)
    shown = lines_shown(written)
    assert code == 0
    assert "\x1b[" in written  # headings are bold there
    assert any(line.startswith("┃") for line in shown)
    tables = [line for line in shown if line[:1] in "┏┃┡│└"]
    assert max(map(width, tables)) <= COLUMNS
    assert "…" not in "".join(tables)
    sentences = [line for line in shown if not line.startswith("result: ")]
    assert max(map(width, sentences)) <= COLUMNS


def test_the_list_of_commands_fits_eighty_columns(capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    for given in ([], ["study", "--help"]):
        with contextlib.suppress(SystemExit):
            run_command(given)
    assert max(map(width, capfd.readouterr().out.splitlines())) <= COLUMNS


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_fits_eighty_columns_and_has_the_common_options(name: str) -> None:
    from sixtyfold.arguments import read

    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("COLUMNS", str(COLUMNS))
        with pytest.raises(SystemExit):
            read(name, spec_class(COMMANDS[name]), ["--help"])
    shown = lines_shown(printed.getvalue())
    assert max(width(line) for line in shown if not line.startswith("usage: ")) <= COLUMNS
    words = set(printed.getvalue().split())
    assert {"--json", "--quiet", "--verbose"} <= words


def test_no_colour_where_it_is_not_wanted(compared: list[str]) -> None:
    _, written = on_a_terminal(compared, NO_COLOR="1")
    codes = re.findall(r"\x1b\[([0-9;]*)m", written)
    numbers = {int(part) for code in codes for part in code.split(";") if part}
    assert not {n for n in numbers if 30 <= n <= 49 or 90 <= n <= 107}


@pytest.mark.parametrize("more", [{}, {"TERM": "dumb"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_file_gets_no_control_characters(
    compared: list[str], hostile_rows: str, more: dict[str, str]
) -> None:
    for arguments in (compared, ["facts", "inspect", "--facts", hostile_rows]):
        done = in_a_pipe(arguments, **more)
        assert done.returncode == 0, done.stderr
        assert acting(done.stdout + done.stderr) == set()
    assert "[red]r⟨U+001B⟩[1m" in done.stdout or "LC_ALL" in more


def test_a_stream_that_cannot_spell_it_loses_no_line(hostile_rows: str) -> None:
    given = ["facts", "inspect", "--facts", hostile_rows]
    done = in_a_pipe(given, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "\\u27e8U+001B\\u27e9" in done.stdout


def test_an_error_is_the_same_line_whatever_the_stream_can_spell() -> None:
    given = ["plant", "--architecture", "llma", "--out", "x"]
    said = {
        in_a_pipe(given, **more).stderr
        for more in ({}, {"PYTHONIOENCODING": "ascii"}, {"TERM": "dumb"})
    }
    (line,) = said
    assert line.startswith(
        "sixtyfold: option --architecture was given 'llma'; did you mean 'llama'?"
    )


def test_errors_cannot_steer_the_terminal() -> None:
    done = in_a_pipe(["facts", "inspect", "--facts", "table:\x1b[2Jnowhere\u202e.csv"])
    assert done.returncode == 2
    assert acting(done.stderr) == set()
    assert done.stderr.startswith("sixtyfold: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_output_that_nobody_reads_is_no_error() -> None:
    line = shlex.join([*SIXTYFOLD, "completion"])
    done = subprocess.run(
        ["bash", "-c", f"{line} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, check=True, env=environment(),
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "141"
    assert done.stderr == ""


@pytest.mark.parametrize(("given", "code"), [("facts list", "0"), ("facts lst", "2")])
def test_closed_streams_change_no_exit_code(given: str, code: str) -> None:
    line = f"{shlex.join(SIXTYFOLD)} {given} >&- 2>&-; echo $?"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=True, env=environment()
    )
    assert (done.stdout, done.stderr) == (f"{code}\n", "")


def test_quiet_says_nothing_and_does_the_same(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    for name, more in (("quiet", ["--quiet"]), ("loud", [])):
        out = tmp_path / name
        given = ["facts", "build", "--facts", str(planted), "--limit", "9", "--out", str(out)]
        assert run_command([*given, *more]) == 0
        printed = capfd.readouterr()
        assert (printed.out == "") == (name == "quiet")
        assert printed.err == ""
    one, other = (tmp_path / each / "facts.parquet" for each in ("quiet", "loud"))
    assert one.read_bytes() == other.read_bytes()
    assert run_command(["probe", "--out", "x", "--limit", "0", "--quiet"]) == 2
    assert "--limit was given 0" in capfd.readouterr().err


def test_verbose_says_which_stages_work(
    planted: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "f")
    given = ["facts", "build", "--facts", str(planted), "--limit", "9", "--out", out, "--verbose"]
    capfd.readouterr()
    assert run_command(given) == 0
    first = capfd.readouterr()
    assert re.fullmatch(rf"facts works in {out}\nfacts took \d+\.\d s\n", first.err)
    assert run_command(given) == 0
    assert capfd.readouterr().err == f"facts is finished already in {out}\n"


def test_verbose_shows_where_an_error_arose(capfd: pytest.CaptureFixture[str]) -> None:
    given = ["report", "--run", "nowhere"]
    assert run_command([*given, "--verbose"]) == 3
    assert "Traceback" in (loud := capfd.readouterr().err)
    assert run_command(given) == 3
    assert loud.endswith(capfd.readouterr().err)


COMPLETE = r"""
source "$1"
shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
COMPREPLY=()
name=$(complete -p sixtyfold | sed 's/.*-F \([^ ]*\).*/\1/')
"$name" sixtyfold "${COMP_WORDS[$COMP_CWORD]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def test_bash_completes_commands_options_and_values(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    assert run_command(["completion", "--shell", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capfd.readouterr().out)

    def completed(*words: str) -> set[str]:
        given = ["bash", "-c", COMPLETE, "bash", str(script), "sixtyfold", *words]
        done = subprocess.run(given, capture_output=True, text=True, check=True)
        return set(done.stdout.split())

    assert completed("pr") == {"probe"}
    assert completed("facts", "") >= {"build", "list", "inspect", "templates"}
    assert completed("study", "re") == {"results", "repairs"}
    assert completed("probe", "--es") == {"--estimator"}
    assert completed("probe", "--estimator", "") == {"survival", "draws"}
    for name in COMMANDS:
        assert completed(*name.split(), "--js") == {"--json"}, name


@pytest.mark.parametrize(("shell", "sign"), [("zsh", "#compdef sixtyfold"), ("fish", "complete ")])
def test_other_shells_get_a_script(
    shell: str, sign: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["completion", "--shell", shell]) == 0
    script = capfd.readouterr().out
    assert sign in script
    assert all(name.split()[-1] in script for name in COMMANDS)
