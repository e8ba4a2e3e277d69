"""Every command of the documentation is one that the command line accepts; what runs is counted.

These tests read all blocks and run nothing; `test_doc_commands_run.py` executes them.
"""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from fenced import COMMANDS as COMMAND_BLOCKS
from fenced import LANGUAGES, ROOT, Block, Command, all_blocks, all_commands, blocks, commands

from sixtyfold.cli import run_command
from sixtyfold.commands import COMMANDS, imported
from sixtyfold.failures import FAULT
from sixtyfold.study.reading import read_study

BLOCKS = all_blocks()
CALLS = all_commands()


def accepted(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line read arguments; what it would call is replaced by nothing."""

    def found(where: str) -> object:
        return imported(where) if where.endswith("Spec") else lambda *_, **__: None

    monkeypatch.setattr("sixtyfold.cli.imported", found)
    code = run_command(arguments)
    assert code == 0, f"exit code {code}; what it said is on stderr"


def script_is_there(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    if arguments[0] == "-c":
        ast.parse(arguments[1])
        return
    assert (ROOT / arguments[0]).is_file(), f"{arguments[0]} is no file of this project"


def target_is_there(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in (each for each in arguments if "=" not in each):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), f"no target {target}"


def extras_are_there(arguments: list[str], _: pytest.MonkeyPatch) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert arguments[0] == "install"
    for extra in re.findall(r"sixtyfold\[(\w+)\]|^\.\[(\w+)\]$", "\n".join(arguments)):
        assert max(extra) in known["optional-dependencies"]


def what_it_launches(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    module = arguments.index("-m")
    assert arguments[module + 1] == "sixtyfold"
    config = ROOT / arguments[arguments.index("--config_file") + 1]
    assert yaml.safe_load(config.read_text(encoding="utf-8"))["distributed_type"]
    accepted(arguments[module + 2 :], monkeypatch)


Check = Callable[[list[str], pytest.MonkeyPatch], None]
CHECKS: dict[str, Check] = {
    "sixtyfold": accepted,
    "python": script_is_there,
    "make": target_is_there,
    "pip": extras_are_there,
    "accelerate": what_it_launches,
}
#: Programs of others: what they accept is not known here.
OTHERS = {"lm-eval", "git", "cd", "source", "ray", "curl"}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.place} {' '.join(call.argv[:2])}")
def test_a_command_is_accepted(call: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = call.argv
    assert program in CHECKS or program in OTHERS
    if program in CHECKS:
        CHECKS[program](arguments, monkeypatch)


def test_every_command_of_sixtyfold_is_shown() -> None:
    shown = {" ".join(call.argv[1 : 1 + size]) for call in CALLS for size in (1, 2)}
    assert set(COMMANDS) - shown == set()


def test_every_block_says_what_it_is() -> None:
    unknown = [f"{each.place} {each.language}" for each in BLOCKS if each.language not in LANGUAGES]
    assert unknown == []


def test_every_block_of_commands_has_one() -> None:
    empty = [b.place for b in BLOCKS if b.language in COMMAND_BLOCKS and not commands(b)]
    assert empty == [], "what a command prints stands in a block of ```text"


def test_most_commands_are_executed(record_property: Callable[[str, object], None]) -> None:
    ours = [call for call in CALLS if call.argv[0] == "sixtyfold"]
    parsed = [call for call in ours if call.not_run]
    record_property("executed", len(ours) - len(parsed))
    record_property("only parsed", len(parsed))
    assert len(parsed) * 4 < len(ours), f"{len(parsed)} of {len(ours)} are only parsed"


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language in {"python", "yaml", "json"}], ids=lambda b: b.place
)
def test_a_block_of_another_language_can_be_read(block: Block, tmp_path: Path) -> None:
    if block.language == "python":
        ast.parse(block.content)
    elif block.language == "json":
        json.loads(block.content)
    else:
        read = yaml.safe_load(block.content)
        assert read
        if "grids" in read:
            file = tmp_path / "study.yaml"
            file.write_text(block.content, encoding="utf-8")
            assert read_study(file).grids


def test_a_marker_needs_a_reason_and_a_block() -> None:
    told = {
        "<!-- only parsed -->\n```\nsixtyfold run\n```\n": "is no marker",
        "<!-- only parsed: a GPU -->\n\nWords.\n\n```\nsixtyfold run\n```\n": "above no block",
        "<!-- only parsed: a GPU -->\n": "above no block",
        "<!-- only parsed (--vllm): a GPU -->\n```\nsixtyfold run\n```\n": "fits no command",
        "```\nsixtyfald run\n```\n": "refuses the block",
    }
    for index, (text, words) in enumerate(told.items()):
        file = ROOT / "docs" / f"none-{index}.md"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "read_text", lambda *_, text=text, **__: text)
            with pytest.raises(ValueError, match=words):
                [commands(block) for block in blocks(file)]


def test_calls_that_run_at_the_same_time_are_listed_in_one_order() -> None:
    line = "source <(sixtyfold view) && sixtyfold report | git log"
    block = Block(ROOT / "docs" / "none.md", 1, "", line, ())
    called = [" ".join(each.argv[:2]) for each in commands(block)]
    assert [called[0], called[1], called[2]] == ["git log", "sixtyfold report", "sixtyfold view"]
    assert called[3].startswith("source /dev/fd/")


def test_the_console_page_lists_every_exit_code() -> None:
    page = (ROOT / "docs" / "console.md").read_text(encoding="utf-8")
    told = [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)]
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    raised = set(map(int, re.findall(r"^    exit_code = (\d+)$", source, re.MULTILINE)))
    assert raised >= {1, 2, 3, 4, 5, 6}
    assert told == sorted(raised | {0, FAULT, 130, 141})
