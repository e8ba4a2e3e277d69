"""`sixtyfold probe` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sixtyfold.cli import run_command

FEW = ["--limit", "6", "--templates", "2", "--max-new-tokens", "6", "--dtype", "float32"]


def probe(planted: Path, out: Path, *options: str) -> list[str]:
    model = ["--model", str(planted), "--facts", str(planted)]
    return ["probe", *model, "--out", str(out), *FEW, *options]


def test_levels_stand_beside_what_is_expected_of_them(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(probe(planted, tmp_path / "p")) == 0
    printed = capsys.readouterr().out
    assert "expected" in printed
    assert "level of K × 10 plain draws at T 0.7" in printed
    assert printed.splitlines()[-1] == f"result: {tmp_path / 'p'}"


def test_json_is_nothing_but_json(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(probe(planted, tmp_path / "p", "--json")) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["estimator"] == "survival"
    assert value["rows"] == {"probe": 6, "probe_prompts": 12}


def test_a_plan_says_what_a_budget_buys(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = probe(planted, tmp_path / "p", "--budget", "30 draws", "--plan", "--json")
    assert run_command(command) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["draws_per_template"] == 2.5
    assert value["sampled_tokens_at_most"] == 30 * 6
    assert value["fewer_tokens_than_papers"] == 4.0
    assert not (tmp_path / "p").exists()


def test_the_help_says_how_a_server_names_its_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_command(["probe", "--help"])
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    said = printed[printed.index("--server ") : printed.index("--served-model {None}")]
    assert "--model is its model's name there, or --served-model where" in said


def test_a_budget_of_minutes_needs_an_engine_whose_speed_is_known(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--engine", "vllm", "--estimator", "draws", "--budget", "5 minutes")
    assert run_command(probe(planted, tmp_path / "p", *given)) == 2
    printed = capsys.readouterr().err
    assert "--budget 5 minutes: the speed of --engine vllm is not known" in printed
    assert len(printed.splitlines()) == 1


def test_a_plan_of_two_engines_has_a_row_for_each_figure(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = ("--server", "http://127.0.0.1:1/v1", "--served-model", "made-up")
    given = ("--parity", "torch,server", *server, "--budget", "40 draws", "--plan")
    assert run_command(probe(planted, tmp_path / "p", *given)) == 0
    rows = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in capsys.readouterr().out.splitlines()
        if "draws" in line
    ]
    for engine in ("torch", "server"):
        assert [f"{engine} draws", "36"] in rows
        assert [f"{engine} draws per template", "3.000"] in rows
    assert not (tmp_path / "p").exists()
