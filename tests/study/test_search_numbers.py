from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import Finished, open_stage
from sixtyfold.study.numbers import numbers_of
from sixtyfold.workflows.search_spec import SearchSpec


def searched(out: Path, **options: Any) -> Finished:
    """A finished search of one candidate with two arms on test."""
    spec: StageSpec = SearchSpec(tuned="t", out=out, **options)
    candidates = pl.DataFrame(
        {"family": ["relative"], "setting": ["5%"], "accuracy": [0.5], "low": [0.4],
         "high": [0.6], "n": [20]}
    )  # fmt: skip
    arms = pl.DataFrame(
        {"arm": ["tuned", "relative"], "domain": ["in", "in"], "accuracy": [0.5, 0.6],
         "low": [0.4, 0.5], "high": [0.6, 0.7], "n": [20, 20],
         "tuned_difference": [None, 0.1], "tuned_low": [None, -0.05], "tuned_high": [None, 0.25],
         "tuned_p": [None, 0.2], "tuned_p_holm": [None, 0.4], "tuned_could_see": [None, 0.2]}
    )  # fmt: skip
    with open_stage("search", spec, {}) as stage:
        for name, table in (("candidates", candidates), ("test", arms)):
            stage.write_table(name, table)
        return stage.finish({"candidates": 1, "test": 2})


def test_arms_stand_with_their_paired_differences(tmp_path: Path) -> None:
    found = numbers_of(searched(tmp_path / "s"))
    (difference,) = found.filter(measure="difference to tuned").rows(named=True)
    expected = {"value": 0.1, "low": -0.05, "high": 0.25, "n": 20, "domain": "in", "split": "test"}
    assert expected.items() <= difference.items()
    assert difference["part"] == "relative"
    assert found.filter(measure="p of the difference to tuned")["value"].to_list() == [0.4]
    accuracy = found.filter(measure="macro_relation")
    assert accuracy["split"].to_list() == ["dev", "test", "test"]


@pytest.mark.parametrize("split", ["dev", "train"])
def test_candidates_stand_under_the_split_they_were_asked_on(split: str, tmp_path: Path) -> None:
    found = numbers_of(searched(tmp_path / "s", split=split))
    assert found.filter(part="relative 5%")["split"].to_list() == [split]


def test_documents_of_a_task_are_in_no_domain(tmp_path: Path) -> None:
    found = numbers_of(searched(tmp_path / "s", lm_eval_task="arc_easy"))
    assert found["domain"].null_count() == found.height
