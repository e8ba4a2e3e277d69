"""A newcomer's path: a fresh clone, their own table of 200 rows, the commands of `docs/start.md`.

Nothing of this environment is used: no virtual environment, no cache of sixtyfold. The clone is of
the working tree as it would be committed.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fenced import COMMANDS, ROOT, Block, blocks, commands

pytestmark = pytest.mark.long

ROWS = 200
#: Commands of the page that are left out, by their first words.
LEFT_OUT = {
    "sixtyfold view": "stays open; tests/explorer opens it in a browser",
    "sixtyfold run --model MODEL": "the same again with another model",
}


def written_blocks() -> list[Block]:
    page = ROOT / "docs" / "start.md"
    return [each for each in blocks(page) if each.language in COMMANDS]


def script(table: Path) -> str:
    """Return the page's commands as one script; the table is put where the page says."""
    lines = ["set -euo pipefail"]
    for block in written_blocks():
        lines += [
            line
            for line in block.content.splitlines()
            if not any(line.startswith(words) for words in LEFT_OUT)
        ]
        if "make setup" in block.content:
            lines.append(f"cp '{table}' my_questions.csv")
    return "\n".join(lines) + "\n"


def write_questions(path: Path) -> None:
    """Write 200 questions and answers, as somebody may have them: no other column."""
    from sixtyfold.sources.atlas import build_atlas

    facts, _ = build_atlas()
    asked = ("capital_of_country", "currency_of_country", "language_of_country")
    chosen = facts.filter(facts["relation"].is_in(asked)).sort("fact_id").head(ROWS)
    with path.open("w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(["question", "answer"])
        rows.writerows((row["question"], row["objects"][0]) for row in chosen.to_dicts())


def repository(folder: Path) -> Path:
    """Make a repository of the working tree: what is tracked, and what git does not ignore."""
    folder.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (
        ["init", "--quiet"],
        ["add", "--all"],
        [*who, "commit", "--quiet", "-m", "."],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def test_the_page_has_the_whole_path() -> None:
    programs = [call.argv[0] for block in written_blocks() for call in commands(block)]
    assert programs[:4] == ["git", "cd", "make", "source"]
    assert programs.count("sixtyfold") >= 5
    text = script(Path("x.csv"))
    assert all(any(words in block.content for block in written_blocks()) for words in LEFT_OUT)
    assert not any(words in text for words in LEFT_OUT)


def test_a_newcomer_gets_a_report(tmp_path: Path) -> None:
    repository(tmp_path / "REPOSITORY")
    table = tmp_path / "my_questions.csv"
    write_questions(table)
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in {"SIXTYFOLD_CACHE", "VIRTUAL_ENV", "PYTHONPATH", "HF_HUB_OFFLINE"}
    }
    ours = str(ROOT / ".venv" / "bin")
    clean["PATH"] = ":".join(each for each in clean["PATH"].split(":") if each != ours)
    clean["XDG_CACHE_HOME"] = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    clean["SIXTYFOLD_CACHE"] = str(tmp_path / "cache")
    done = subprocess.run(
        ["bash", "-c", script(table)],
        cwd=tmp_path, env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    report = tmp_path / "sixtyfold" / "runs" / "mine" / "report.html"
    assert report.stat().st_size > 100_000
    assert "result: runs/mine/report.html" in done.stdout
    assert "base, few-shot" in done.stdout
