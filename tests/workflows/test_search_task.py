"""Search on a task of lm-eval: the exported planted facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from file_digests import digests
from sixtyfold.core.errors import BadInput
from sixtyfold.core.stage import Finished
from sixtyfold.stages.evaluate.run import run as evaluate
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.workflows.export import run as export
from sixtyfold.workflows.export_spec import ExportLmEvalSpec
from sixtyfold.workflows.search import plan, search
from sixtyfold.workflows.search_spec import SearchSpec
from sixtyfold.workflows.search_task import read_task

pytest.importorskip("lm_eval", reason="lm-eval is not installed; 'make setup-dev' does that")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def task(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("task") / "task"
    spec = ExportLmEvalSpec(facts=str(planted), model=str(planted), out=out, limit=40)
    return export(spec).path


def spec(planted: Path, tuned: Path, task: Path, out: Path, **changed: Any) -> SearchSpec:
    options: dict[str, Any] = {
        "base": str(planted),
        "tuned": str(tuned),
        "lm_eval_task": "sixtyfold_test",
        "include_path": task,
        "out": out,
        "families": ("relative", "interpolation"),
        "top": (20.0, 60.0),
        "halvings": 1,
        "checkpoint": False,
        "dtype": "float32",
    }
    return SearchSpec.parse({**options, **changed})


@pytest.fixture(scope="module")
def searched(
    planted: Path, tuned: Path, task: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    return search(spec(planted, tuned, task, tmp_path_factory.mktemp("s") / "search"))


def test_answers_are_those_of_evaluate(
    searched: Finished, planted: Path, tuned: Path, tmp_path: Path
) -> None:
    for arm, model in (("base", planted), ("tuned", tuned)):
        found = evaluate(
            EvaluateSpec(
                model=str(model), facts=str(planted), out=tmp_path / arm, dtype="float32", limit=40
            )
        ).table("answers")
        own = searched.table("test_answers").filter(pl.col("arm") == arm)
        both = own.join(found, on="fact_id", suffix="_ours")
        assert both.height == own.height == 20
        assert both["hit"].to_list() == both["hit_ours"].to_list()


def test_one_half_chooses_and_the_other_reports(searched: Finished) -> None:
    dev = set(searched.table("answers")["fact_id"])
    test = set(searched.table("test_answers")["fact_id"])
    assert (len(dev), len(test)) == (20, 20)
    assert dev.isdisjoint(test)
    assert searched.json("chosen")["rule"] == (
        "most accuracy on half of the documents of sixtyfold_test"
    )


def test_plan_counts_documents(
    searched: Finished, planted: Path, tuned: Path, task: Path, tmp_path: Path
) -> None:
    found = plan(spec(planted, tuned, task, tmp_path / "plan"))
    assert found["answers"] == {
        "dev": searched.manifest["rows"]["answers"],
        "test": searched.manifest["rows"]["test_answers"],
    }
    assert "estimated_seconds_of_answers" not in found


def test_the_same_search_again_is_the_same(
    searched: Finished, planted: Path, tuned: Path, task: Path, tmp_path: Path
) -> None:
    again = search(spec(planted, tuned, task, tmp_path / "again"))
    assert digests(again.path) == digests(searched.path)


def test_what_is_no_task_is_refused(planted: Path, tuned: Path, task: Path, tmp_path: Path) -> None:
    wrong = spec(planted, tuned, task, tmp_path, lm_eval_task="sixtyfold_tst")
    with pytest.raises(BadInput, match=r"no single task of lm-eval.*did you mean 'sixtyfold_test'"):
        read_task(wrong)


def test_level_4_is_nothing_a_task_knows(
    planted: Path, tuned: Path, task: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="documents of an lm-eval task have no level"):
        spec(planted, tuned, task, tmp_path, probe=tmp_path, objective="knowledge")
