"""The commands of the documentation are executed, page by page, as they are written.

Each page runs in a copy of the prepared folder (`stand_ins.py`). Lines of one page that write to
the same place are alternatives: what an earlier one left there is removed first.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fenced import COMMANDS, ROOT, Block, Command, blocks, commands, make_folders, markdown_files
from stand_ins import build_world

from sixtyfold.cli import run_command

pytestmark = pytest.mark.long

#: Options whose value is written to.
_WRITES = ("--out", "--figures")
Step = Command | Block


def steps(file: Path) -> list[Step]:
    """Return what of a page is executed, in its order."""
    found: list[Step] = []
    for block in blocks(file):
        if block.language in COMMANDS:
            lines = {each.place: each for each in commands(block) if each.not_run is None}
            found += lines.values()
        elif block.language == "python" and not block.only:
            found.append(block)
    return found


PAGES = [file for file in markdown_files() if steps(file)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prepared folder, made once."""
    return build_world(
        tmp_path_factory.mktemp("docs") / "world", Path(os.environ["SIXTYFOLD_CACHE"])
    )


@pytest.fixture
def place(world: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the prepared folder to work in."""
    copy = shutil.copytree(world, tmp_path / "here")
    before = Path.cwd()
    os.chdir(copy)
    yield copy
    os.chdir(before)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_work(
    page: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in steps(page):
        begun = time.monotonic()
        code = execute(step)
        printed = capsys.readouterr()
        assert code == 0, f"{step.place}: {what(step)}\nexit code {code}: {printed.err}"
        with capsys.disabled():
            print(f"\n{step.place}: {time.monotonic() - begun:.1f} s: {what(step)}", end="")


def what(step: Step) -> str:
    return step.written if isinstance(step, Command) else "python"


def execute(step: Step) -> int:
    """Run one step in the current directory and return its exit code."""
    if isinstance(step, Block):
        return subprocess.run([sys.executable, "-c", step.content], check=False).returncode
    program, *arguments = step.argv
    _make_room(arguments)
    if program == "sixtyfold" and step.alone:
        return run_command(arguments)
    return _by_bash(step.written)


def _by_bash(line: str) -> int:
    """Let a real shell run a line, with the programs of this environment."""
    home = Path.cwd() / "home"
    make_folders(home, line)
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "HOME": str(home), "PATH": programs}
    script = ["bash", "-euo", "pipefail", "-c", line]
    return subprocess.run(script, env=env, check=False).returncode


def _make_room(arguments: list[str]) -> None:
    for option, value in itertools.pairwise(arguments):
        path = Path(value)
        if option in _WRITES and path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
