"""The whole check on the planted model, whose knowledge is known, tuned to answer questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from made_up_trainings import LEVELS, Truth, made_up_asked, made_up_cells, shares_of
from sixtyfold.cli import run_command
from sixtyfold.core.errors import BadInput, OtherResult
from sixtyfold.core.stage import Finished, finished
from sixtyfold.workflows.check import run as check_run
from sixtyfold.workflows.check.calibration.fit import fit
from sixtyfold.workflows.check.calibration.fitted import Fitted
from sixtyfold.workflows.check.calibration.link import asked_of
from sixtyfold.workflows.check.knowledge import asked_how
from sixtyfold.workflows.check.run import plan, run
from sixtyfold.workflows.check.spec import CheckSpec

LONG = "one two three four five six seven eight nine ten eleven twelve"


def spec_of(file: Path, tuned: Path, out: Path, **options: Any) -> CheckSpec:
    settings = {"dtype": "float32", "max_new_tokens": 8, **options}
    return CheckSpec(file=file, model=str(tuned), out=out, **settings)


@pytest.fixture(scope="session")
def sft_file(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 facts seen 50 times, 24 never seen, then rows with one problem each."""
    stage = finished(planted)
    facts = stage.table("facts").join(stage.table("exposures"), on="fact_id")
    facts = facts.filter(domain="in")
    asked = pl.concat([facts.filter(times_seen=times).head(24) for times in (50, 0)])
    pairs = asked.select("question", "objects").iter_rows()
    prompts = [(f"Question: {question}\nAnswer:", f" {objects[0]}") for question, objects in pairs]
    (first, answer), (_, other) = prompts[:2]
    shouted = first.upper().replace("QUESTION", "Question").replace("ANSWER", "Answer")
    prompts += [(shouted, answer.upper()), (first, other)]
    rows: list[dict[str, Any]] = [
        {"id": number, "prompt": prompt, "completion": completion}
        for number, (prompt, completion) in enumerate(prompts)
    ]
    rows += [
        {"id": 50, "prompt": "Question: Who?\nAnswer:", "completion": "  "},
        {"id": 51, "prompt": "word " * 600, "completion": " much"},
        {"id": 52, "prompt": "Go on", "completion": f" {LONG}"},
        {"id": 53, "prompt": ["no"], "completion": "text"},
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("sft") / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def checked(sft_file: Path, tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    out = tmp_path_factory.mktemp("checked") / "check"
    return run(spec_of(sft_file, tuned, out, hold_back="unknown"))


def ids(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_planted_problems_are_found_with_their_rows(checked: Finished) -> None:
    table = checked.table("rows")
    found = table.filter(pl.col("problem").is_not_null())
    assert found.select("row", "problem", "other_row", "recommendation").rows() == [
        (49, "duplicate", 1, "drop"),
        (50, "contradiction", 1, "drop"),
        (51, "empty", None, "drop"),
        (52, "too long", None, "drop"),
        (54, "unreadable", None, "drop"),
    ]
    assert table["kind"].value_counts().sort("kind").rows() == [
        ("fact", 50),
        ("text", 3),  # the answer in capitals has more tokens than a fact may have
        ("unreadable", 1),
    ]
    text = table.row(52, named=True)
    assert (text["kind"], text["recommendation"]) == ("text", "keep")
    assert text["logp_per_token"] < 0
    assert text["reason"] == f"no fact: answer of {text['tokens_answer']} tokens"


def test_facts_that_were_seen_often_are_known_and_unseen_ones_are_not(checked: Finished) -> None:
    table = checked.table("rows")
    seen, unseen = table[:24], table[24:48]
    assert seen["recall"].mean() > unseen["recall"].mean() + 0.1
    assert (unseen["knowledge"] == "unknown").sum() > 2 * (seen["knowledge"] == "unknown").sum()
    asked = table[:48]
    assert (asked["recall_low"] <= asked["recall"]).all()
    assert (asked["recall"] <= asked["recall_high"]).all()
    knowledge = checked.json("check")["knowledge"]
    assert knowledge["facts"] == knowledge["asked"] == 48
    assert sum(each["facts"] for each in knowledge["buckets"].values()) == 48
    assert set(knowledge["mean_recall_by_form"]) == {"plain", "few-shot"}


def test_files_hold_what_the_table_recommends(checked: Finished, sft_file: Path) -> None:
    table = checked.table("rows").with_columns(id=pl.col("row") - 1)
    for name, recommendation in (("cleaned", "keep"), ("held_back", "hold back")):
        expected = table.filter(recommendation=recommendation)["id"].to_list()
        assert expected
        assert ids(checked.path / f"{name}.jsonl") == expected
    held = table.filter(recommendation="hold back")
    assert (held["knowledge"] == "unknown").all()
    given = sft_file.read_text(encoding="utf-8").splitlines()
    kept = (checked.path / "cleaned.jsonl").read_text(encoding="utf-8").splitlines()
    assert set(kept) <= set(given)


def test_nothing_is_held_back_unless_asked_for(
    sft_file: Path, tuned: Path, checked: Finished, tmp_path: Path
) -> None:
    result = run(spec_of(sft_file, tuned, tmp_path / "c"))
    table = result.table("rows")
    assert set(table["recommendation"]) == {"keep", "drop"}
    assert table["recall"].equals(checked.table("rows")["recall"])
    assert not (result.path / "held_back.jsonl").exists()
    assert ids(result.path / "cleaned.jsonl") == [*range(48), 52]
    with pytest.raises(OtherResult, match="hold_back"):
        run(spec_of(sft_file, tuned, tmp_path / "c", hold_back="weak"))


def test_a_killed_check_continues_to_the_same_result(
    sft_file: Path,
    tuned: Path,
    checked: Finished,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = spec_of(sft_file, tuned, tmp_path / "c", hold_back="unknown")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(check_run, "recall_by_form", killed)
        with pytest.raises(KeyboardInterrupt):
            run(spec)
    monkeypatch.setattr("sixtyfold.stages.probe.run._draw", killed)  # nothing is drawn again
    again = run(spec)
    for name in ("rows.parquet", "check.json", "cleaned.jsonl", "held_back.jsonl"):
        assert (again.path / name).read_bytes() == (checked.path / name).read_bytes()
    assert again.fingerprint == checked.fingerprint


@pytest.fixture(scope="session")
def calibration(sft_file: Path, tuned: Path) -> Fitted:
    """Made-up studies in which levels matter, asked as the checks here ask."""
    spec = spec_of(sft_file, tuned, Path("o"))
    kinds = {40: LEVELS, 240: LEVELS}
    cells = made_up_cells(
        Truth((-0.12, 0.02)), 0, {(model, "made up"): kinds for model in ("a", "b", "c", "d")}
    )
    asked = made_up_asked(shares_of, "a", "made up")
    how = asked.with_columns(protocol=pl.lit(asked_how(spec)))
    return fit(cells, asked_of([how]), {})


def test_a_calibrated_check_tells_points_in_file_and_on_screen(
    sft_file: Path,
    tuned: Path,
    calibration: Fitted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(check_run, "shipped", lambda: calibration)
    arguments = ["check", "--file", str(sft_file), "--model", str(tuned), "--dtype", "float32"]
    arguments += ["--max-new-tokens", "8", "--out", str(tmp_path / "c")]
    assert run_command(arguments) == 0
    found = finished(tmp_path / "c").json("check")
    told = found["expected_effect"]
    assert told["status"] == "calibrated"
    buckets = found["knowledge"]["buckets"]
    # These questions tell the classes as they are.
    assert told["mix"]["level_0"] == pytest.approx(buckets["unknown"]["value"], abs=1e-4)
    value = told["outcomes"]["accuracy"]
    assert value["low"] < value["value"] < value["high"]
    assert told["fitted_on"]["fingerprint"] == calibration.fingerprint
    shown = " ".join(capsys.readouterr().out.split())
    points = f"{100 * value['value']:+.1f}".replace("-", "−")
    assert f"expected accuracy on other facts of its relations: {points} points" in shown
    assert "fitted on 144 trainings of a, b, c, d; 40 to 240 examples" in shown


def test_a_check_of_another_calibration_is_not_taken_for_this_one(
    sft_file: Path,
    tuned: Path,
    checked: Finished,
    calibration: Fitted,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check_run, "shipped", lambda: calibration)
    with pytest.raises(OtherResult, match="calibration"):
        run(spec_of(sft_file, tuned, checked.path, hold_back="unknown"))


def test_a_limit_asks_about_some_and_leaves_the_others_as_they_are(
    sft_file: Path, tuned: Path, tmp_path: Path
) -> None:
    result = run(spec_of(sft_file, tuned, tmp_path / "c", limit=5))
    table = result.table("rows")
    assert table["recall"].count() == 5
    assert (table.filter(pl.col("recall").is_null() & pl.col("problem").is_null())
            ["recommendation"] == "keep").all()  # fmt: skip


def test_a_plan_counts_and_writes_nothing(sft_file: Path, tuned: Path, tmp_path: Path) -> None:
    found = plan(spec_of(sft_file, tuned, tmp_path / "c"))
    assert found["rows"] == 54
    assert found["problems"] == 5
    assert found["facts_to_ask"] == 49  # 48 and the one that contradicts
    assert found["prompts"] == 49 * 4
    assert found["draws"] == 49 * 4 * 4
    assert found["other_rows_to_score"] == 1
    assert not (tmp_path / "c").exists()


def test_a_file_without_facts_is_scored_and_cleaned(tuned: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"prompt,completion\nGo on,{LONG}\ngo ON,{LONG}\n", encoding="utf-8")
    result = run(spec_of(path, tuned, tmp_path / "c"))
    assert (result.path / "cleaned.csv").read_text() == f"prompt,completion\nGo on,{LONG}\n"
    found = result.json("check")
    assert found["knowledge"] is None
    assert found["text"]["rows"] == 1
    assert found["text"]["mean_logp_per_token"] < 0


def test_the_command_shows_counts_and_the_first_rows(
    sft_file: Path, checked: Finished, tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["check", "--file", str(sft_file), "--model", str(tuned), "--dtype", "float32"]
    arguments += ["--max-new-tokens", "8", "--hold-back", "unknown", "--out", str(checked.path)]
    assert run_command(arguments) == 0
    shown = capsys.readouterr().out
    assert "expected effect on accuracy: " in shown
    assert "recall from questions, prompts per fact: plain (1), few-shot (3)" in shown
    assert "problem: contradiction" in shown
    assert "hold back" in shown
    assert shown.index("unknown") < shown.index("weak") < shown.rindex("known")
    left_out = checked.table("rows").filter(pl.col("recommendation") != "keep").height
    assert f"and {left_out - 10} more rows: " in shown
    assert run_command([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["check"]["rows"] == 54


def test_a_file_that_is_none_is_one_clear_line(tuned: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.jsonl does not exist"):
        run(spec_of(tmp_path / "nowhere.jsonl", tuned, tmp_path / "c"))
    assert not (tmp_path / "c").exists()
