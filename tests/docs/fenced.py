"""Fenced blocks of the Markdown files, and the commands that a shell makes of them.

A block without a language, or with `sh`, holds commands. All of them are executed by the tests.
Where that needs more than a test has, a marker above the block says so, with a reason:

    <!-- only parsed: needs a GPU -->
    <!-- only parsed (--engine vllm): needs vLLM -->

The second form is about the commands that hold the text in parentheses; the others are executed.
This module knows how blocks are found and read; it runs no command of theirs.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
#: What the words after three backticks may be.
COMMANDS = frozenset({"", "sh"})
LANGUAGES = COMMANDS | {"python", "yaml", "json", "text", "csv"}

_MARKER = re.compile(r"<!-- only parsed(?: \((?P<text>[^)]+)\))?: (?P<reason>.+?) -->")
_LOOKS_LIKE_ONE = re.compile(r"<!--\s*only|<!--.*\bparsed\b", re.IGNORECASE)
#: Folders of the reader's home that commands write to.
_AT_HOME = re.compile(r"> ?~/(\S+)/")
#: Programs become functions that write down how they were called; nothing else is found.
_RECORDER = """
PATH=/nonexistent
record() { printf '%s\\0' "${BASH_LINENO[1]}" "$#" "$@" >> "$RECORD"; }
for each in sixtyfold python pip make git cd source accelerate lm-eval ray curl; do
    eval "$each() { record $each \\"\\$@\\"; }"
done
set -eu
"""


class Only(NamedTuple):
    """A marker: commands that are parsed and not executed (all of a block without `text`)."""

    text: str | None
    reason: str


class Block(NamedTuple):
    """A fenced block; `line` is the number of its first line of content."""

    file: Path
    line: int
    language: str
    content: str
    only: tuple[Only, ...]

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


class Command(NamedTuple):
    """One call as the shell makes it: the program and its arguments."""

    place: str
    written: str
    argv: tuple[str, ...]
    not_run: str | None
    """Why it is only parsed; None where it is executed."""

    @property
    def alone(self) -> bool:
        """Whether the line is this call and nothing else: no pipe, no variable, no redirection."""
        return shlex.split(self.written, comments=True) == list(self.argv)


def markdown_files() -> list[Path]:
    """Return every Markdown file that people read."""
    folders = [ROOT / "docs", ROOT / "examples"]
    found = [path for folder in folders for path in folder.rglob("*.md")]
    return [ROOT / "README.md", *sorted(found)]


@cache
def blocks(file: Path) -> tuple[Block, ...]:
    """Return the fenced blocks of a file, with the markers that stand above each.

    Raises:
        ValueError: a marker stands above no block, or is written in another form.
    """
    found: list[Block] = []
    waiting: list[Only] = []
    for token in MarkdownIt("commonmark").parse(file.read_text(encoding="utf-8")):
        if token.type == "html_block":
            waiting += _markers(token.content, f"{file.relative_to(ROOT)}:{token.map[0] + 1}")
        elif token.type == "fence":
            language = token.info.split(" ")[0]
            line = token.map[0] + 2
            found.append(Block(file, line, language, token.content, tuple(waiting)))
            waiting = []
        elif waiting and (token.type.endswith("_open") or token.type == "inline"):
            raise ValueError(f"{file.relative_to(ROOT)}: {waiting[0]} stands above no block")
    if waiting:
        raise ValueError(f"{file.relative_to(ROOT)}: {waiting[0]} stands above no block")
    return tuple(found)


def _markers(html: str, place: str) -> list[Only]:
    found = [Only(each["text"], each["reason"]) for each in _MARKER.finditer(html)]
    if len(found) != len(_LOOKS_LIKE_ONE.findall(html)):
        raise ValueError(f"{place}: {html.strip()!r} is no marker that is known")
    return found


def logical_lines(content: str) -> list[tuple[int, str]]:
    r"""Join lines that end in a backslash; return each with the number of its first, from 0.

    >>> logical_lines("a \\\n  b\nc")
    [(0, 'a   b'), (2, 'c')]
    """
    lines: list[tuple[int, str]] = []
    joined = False
    for number, line in enumerate(content.splitlines()):
        text = line.removesuffix("\\")
        if joined:
            first, before = lines[-1]
            lines[-1] = (first, before + text)
        else:
            lines.append((number, text))
        joined = line.endswith("\\")
    return lines


def commands(block: Block) -> list[Command]:
    """Return the calls that bash makes of a block.

    Raises:
        ValueError: bash refuses the block, a program is not known, or a marker fits no command.
    """
    lines = logical_lines(block.content)
    found = []
    for line, argv in _called([text for _, text in lines], block.place):
        number, written = lines[line]
        place = f"{block.file.relative_to(ROOT)}:{block.line + number}"
        reasons = [each.reason for each in block.only if each.text is None or each.text in written]
        found.append(Command(place, written.strip(), argv, reasons[0] if reasons else None))
    for marker in block.only:
        if marker.text and not any(marker.text in each.written for each in found):
            raise ValueError(f"{block.place}: {marker} fits no command of the block")
    return found


def make_folders(home: Path, text: str) -> None:
    """Make the folders of a home that commands write to."""
    for name in _AT_HOME.findall(text):
        (home / name).mkdir(parents=True, exist_ok=True)


def _called(lines: list[str], place: str) -> list[tuple[int, tuple[str, ...]]]:
    """Let bash read the lines; return the number of the line of each call, and the call.

    The calls of a line may run at the same time (`a | b`, `source <(a)`), in an order that differs
    from run to run: they are returned sorted.
    """
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "record"
        record.touch()
        make_folders(Path(folder), "\n".join(lines))
        script = _RECORDER + "\n".join(lines) + "\nwait\n"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", script],
            cwd=folder,
            env={"RECORD": str(record), "HOME": folder},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ValueError(f"{place}: bash refuses the block: {done.stderr.strip()}")
        words = record.read_text(encoding="utf-8").split("\0")[:-1]
    before = _RECORDER.count("\n")
    calls = []
    while words:
        line, count = int(words[0]), int(words[1])
        calls.append((line - before - 1, tuple(words[2 : 2 + count])))
        words = words[2 + count :]
    return sorted(calls)


def all_blocks() -> list[Block]:
    """Return every block of every file."""
    return [each for file in markdown_files() for each in blocks(file)]


def all_commands() -> list[Command]:
    """Return every command of every file."""
    return [
        each for block in all_blocks() if block.language in COMMANDS for each in commands(block)
    ]
