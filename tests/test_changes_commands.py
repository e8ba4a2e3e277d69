"""`sixtyfold compare`, `drift` and `restore` as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from made_up_checkpoints import write_pair
from made_up_run import RIGHT, answers, facts, stage
from sixtyfold.cli import run_command
from sixtyfold.core.stage import finished


@pytest.fixture
def sides(tmp_path: Path) -> list[str]:
    table = facts(60)
    counts = {"base-fewshot": {"capital": 30, "currency": 20, "river": 10},
              "tuned": {"capital": 45, "currency": 30, "river": 8}}  # fmt: skip
    for model in RIGHT.keys() & counts.keys():
        stage(tmp_path / model, "evaluate", {"answers": answers(table, counts[model])})
    return ["--before", str(tmp_path / "base-fewshot"), "--after", str(tmp_path / "tuned")]


def test_compare_shows_states_differences_and_what_could_be_seen(
    sides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["compare", *sides, "--out", str(tmp_path / "c")]) == 0
    printed = capsys.readouterr().out
    for words in ("kept", "never", "relation capital", "level 4", "p Holm", "could see",
                  "mean over these relations", "mean over the five levels", "+20.8"):  # fmt: skip
        assert words in printed
    assert printed.splitlines()[-1] == f"result: {tmp_path / 'c'}"


def test_compare_says_which_facts_are_left_out(
    sides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few.csv"
    pl.read_parquet(tmp_path / "tuned" / "answers.parquet").head(50).select(
        "fact_id", "hit"
    ).write_csv(few)
    command = ["compare", *sides[:2], "--after", str(few), "--out", str(tmp_path / "c")]
    assert run_command(command) == 0
    assert "130 facts stand in before only and are left out" in capsys.readouterr().out


def test_compare_as_json(
    sides: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["compare", *sides, "--out", str(tmp_path / "c"), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["comparison"] == finished(tmp_path / "c").json("comparison")
    assert value["rules"] == {"before": "standard", "after": "standard"}


def drift(planted: Path, tuned: Path, out: Path) -> list[str]:
    models = ["--base", str(planted), "--tuned", str(tuned), "--facts", str(planted)]
    return ["drift", *models, "--dtype", "float32", "--out", str(out)]


def test_drift_shows_groups_tokens_and_prediction(
    planted: Path, tuned: Path, probed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = finished(planted).table("facts").filter(split="test")["fact_id"]
    for name, rest in (("base", 1), ("tuned", 2)):
        hits = pl.DataFrame({"fact_id": ids, "hit": [i % rest == 0 for i in range(len(ids))]})
        hits.write_csv(tmp_path / f"{name}.csv")
    given = ["--answers-base", str(tmp_path / "base.csv"),
             "--answers-tuned", str(tmp_path / "tuned.csv"), "--probe", str(probed)]  # fmt: skip
    assert run_command([*drift(planted, tuned, tmp_path / "d"), *given]) == 0
    printed = capsys.readouterr().out
    for words in ("position 1", "domain in", "level 4", "token text", "rose in", "predicts loss",
                  "P2's figure, level-4 facts:", f"the base answered {len(ids)}"):  # fmt: skip
        assert words in printed
    assert printed.splitlines()[-1] == f"result: {tmp_path / 'd'}"


def test_drift_as_json_and_as_plan(
    planted: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = drift(planted, tuned, tmp_path / "d")
    assert run_command([*command, "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "d").exists()
    assert run_command([*command, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["rows"]["drift"] == planned["facts"]
    assert {"drift_summary", "drift_tokens"} <= value.keys()
    assert "drift" not in value  # rows of facts stay in the table


def test_restore_shows_what_each_share_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, tuned = write_pair(tmp_path)
    command = ["restore", "--base", str(base), "--tuned", str(tuned), "--top", "1,20.5,60"]
    assert run_command([*command, "--out", str(tmp_path / "r")]) == 0
    printed = capsys.readouterr().out
    table = finished(tmp_path / "r").table("restored_shares")
    for row in table.iter_rows(named=True):
        for words in (f"{row['top']:g}%", str(row["restored"]), f"{row['remaining_norm']:.4g}",
                      row["path"]):  # fmt: skip
            assert words in printed
    assert run_command([*command, "--out", str(tmp_path / "r"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["restored_shares"] == table.to_dicts()
    alone = [*command[:-1], "20", "--out", str(tmp_path / "one")]
    assert run_command(alone) == 0
    assert "checkpoint" not in capsys.readouterr().out
