"""The main path on the planted model: whole, stopped and continued, twice the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.reporting.main_path import plan, run
from sixtyfold.workflows import run as workflow
from sixtyfold.workflows.run_spec import RunSpec


def spec(planted: Path, out: Path, **changed: Any) -> RunSpec:
    options: dict[str, Any] = {
        "model": str(planted),
        "facts": str(planted),
        "out": out,
        "train": 40,
        "dev": 16,
        "test": 30,
        "size": 16,
        "templates": 2,
        "dtype": "float32",
        "learning_rate": 1e-3,
    }
    return RunSpec(**{**options, **changed})


def digests(root: Path) -> dict[str, str]:
    """Return the hashes of all tables, weights and numbers of a run."""
    kept = {".parquet", ".safetensors", ".jsonl"}
    names = {"summary.json", "chosen.json", "comparison.json", "receipt.json", "training.json"}
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.suffix in kept or path.name in names
    }


@pytest.fixture(scope="module")
def whole(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(spec(planted, out))
    return out


def test_leaves_every_stage_finished(whole: Path) -> None:
    stages = ["facts", "probe", "selection", "tuned", "drift", "diff", "search", "restored"]
    stages += [f"answers/{name}-{split}" for name in ("base", "base-fewshot", "tuned", "restored")
               for split in ("dev", "test")]  # fmt: skip
    assert [name for name in stages if not (whole / name / "manifest.json").is_file()] == []
    assert (whole / "report.html").is_file()
    assert json.loads((whole / "timings.json").read_text())["total"] > 0


def test_summary_counts_what_the_tables_hold(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    answers = pl.read_parquet(whole / "answers" / "tuned-test" / "answers.parquet")
    inside = answers.filter(pl.col("domain") == "in")
    assert summary["tuned"]["in"]["micro"]["value"] == pytest.approx(inside["hit"].mean())
    assert summary["tuned"]["in"]["micro"]["n"] == inside.height
    assert summary["base_chat"] is None
    assert sum(summary["levels"]) == 30


def test_a_plan_counts_what_the_run_does(whole: Path, planted: Path) -> None:
    said = plan(spec(planted, whole))
    facts = pl.read_parquet(whole / "facts" / "facts.parquet")
    assert said["facts"] == dict(facts["split"].value_counts().iter_rows())
    probed = json.loads((whole / "probe" / "manifest.json").read_text())["rows"]
    assert said["probe_prompts"] == probed["probe_prompts"]
    asked = sum(pl.read_parquet(path).height for path in whole.glob("answers/*/answers.parquet"))
    tried = pl.read_parquet(whole / "search" / "answers.parquet").height
    assert said["answers"] == asked + tried


def test_a_plan_counts_the_facts_of_a_small_table(planted: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    rows = [f"Who is number {number}?,name{number}" for number in range(200)]
    table.write_text("\n".join(["question,answer", *rows]))
    said = plan(RunSpec(model=str(planted), facts=f"table:{table}", templates=3))
    assert sum(said["facts"].values()) == 200
    assert said["probe_prompts"] == 3 * (said["facts"]["train"] + said["facts"]["test"])


def test_a_set_larger_than_its_pool_is_refused_before_anything_is_probed(
    planted: Path, tmp_path: Path
) -> None:
    small = spec(planted, tmp_path / "out", train=10)
    words = r"--size 16 was given and there are 10 training facts in domain \(--train 10 at most\)"
    for call in (plan, run):
        with pytest.raises(BadInput, match=words):
            call(small)
    assert not (tmp_path / "out" / "probe").exists()


def test_no_test_fact_was_trained_on(whole: Path) -> None:
    trained = set(pl.read_parquet(whole / "selection" / "selection.parquet")["fact_id"])
    held = pl.read_parquet(whole / "facts" / "facts.parquet").filter(pl.col("split") != "train")
    assert len(trained) == 16
    assert trained.isdisjoint(held["fact_id"])


def test_same_seed_gives_the_same_bytes(planted: Path, whole: Path, tmp_path: Path) -> None:
    run(spec(planted, tmp_path / "again"))
    assert digests(tmp_path / "again") == digests(whole)


@pytest.mark.parametrize("step", ["evaluate", "tune", "search", "compare"])
def test_stopped_and_continued_ends_the_same(
    step: str, planted: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "stopped"

    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(workflow, step, stopped)
    with pytest.raises(KeyboardInterrupt):
        run(spec(planted, out))
    assert not (out / "summary.json").exists()
    monkeypatch.undo()
    run(spec(planted, out))
    assert digests(out) == digests(whole)


def test_another_seed_is_another_run(planted: Path, whole: Path, tmp_path: Path) -> None:
    run(spec(planted, tmp_path / "other", seed=1))
    here, there = (
        pl.read_parquet(each / "selection" / "selection.parquet")["fact_id"].to_list()
        for each in (tmp_path / "other", whole)
    )
    assert here != there
