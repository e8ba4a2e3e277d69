"""`sixtyfold view` as a person meets it."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sixtyfold.cli import run_command

pytest_plugins = ("explorer_fixtures",)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command that fails; return its exit code and its only line."""
    code = run_command(["view", *arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return code, lines[0]


def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "nicegui" else real(name)
    )
    code, line = complaint(capsys, "--store", str(store))
    assert code == 2
    assert line.endswith("the explorer needs its page library; pip install 'sixtyfold[view]'")


def test_a_taken_port_is_told(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, line = complaint(capsys, "--store", str(store), "--port", port)
    assert code == 2
    assert f"cannot listen on 127.0.0.1 port {port} (Address already in use)" in line
    assert "give another --port (0 takes a free one)" in line


def test_an_address_of_another_machine_is_told(
    capsys: pytest.CaptureFixture[str], store: Path
) -> None:
    code, line = complaint(capsys, "--store", str(store), "--host", "203.0.113.1", "--port", "0")
    assert code == 2
    assert "cannot listen on 203.0.113.1" in line


def test_a_name_of_no_machine_is_told(capsys: pytest.CaptureFixture[str], store: Path) -> None:
    code, line = complaint(capsys, "--store", str(store), "--host", "ä..b", "--port", "0")
    assert code == 2
    assert "cannot listen on ä..b port 0 (no name of a machine)" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--store", "nowhere"], "there is no store in nowhere"),
        (["--run", "nowhere"], "nowhere holds no finished answers"),
        (["--store", "a", "--run", "b"], "--store and --run were both given"),
        (["--port", "70000"], "--port was given 70000"),
        (["--prot", "1"], "did you mean '--port'"),
    ],
)
def test_bad_options_are_one_line(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, line = complaint(capsys, *arguments)
    assert code in (2, 3)
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_another_host_is_warned_of_and_all_traces_go(store: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sixtyfold", "view", "--store", str(store), "--port", "0"]
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    with subprocess.Popen(
        [*command, "--json", "--host", "0.0.0.0"],  # noqa: S104 - what is warned of
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        told = process.stderr.readline()
        assert f"{store}: 5 runs at http://0.0.0.0:" in told
        assert "warning: --host 0.0.0.0 lets everybody" in process.stderr.readline()
        process.terminate()
        assert process.wait(60) == 0
        address = told.split(" at ")[1].split()[0]
        assert json.loads(process.stdout.read()) == {"address": address, "runs": 5}
    assert [each.name for each in tmp_path.iterdir() if "sixtyfold-view" in each.name] == []
    assert not (tmp_path / ".nicegui").exists()
