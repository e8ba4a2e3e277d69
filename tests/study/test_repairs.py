from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import toy_stages
from sixtyfold.core.errors import BadInput
from sixtyfold.study.drive import drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.plan import Inputs
from sixtyfold.study.repairs import over_seeds
from sixtyfold.study.store import LocalStore

INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("somewhere", "model0")}, frozenset())
GRID = {"name": "g", "select": {"size": [4, 8]}, "tune": {"learning_rate": 1e-5}, "search": {}}


def repaired(root: Path, **changed: Any) -> pl.DataFrame:
    models = [{"name": "m", "model": "somewhere"}]
    values = {"name": "toy", "models": models, "seeds": [0, 1, 2], "grids": [GRID], **changed}
    study = StudyFile.model_validate(values)
    store = LocalStore(root)
    done = drive(study, INPUTS, store, LocalExecutor(store), lambda _: None)
    assert not done.failed
    return over_seeds(store, study, done.plan)


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_stages.use(monkeypatch)


def test_seeds_are_replicas_and_every_search_is_taken(tmp_path: Path) -> None:
    grid = {**GRID, "search": [{}, {"families": ["relative"]}]}
    found = repaired(tmp_path / "store", grids=[grid])
    assert set(found["search"]) == {"search", "search-2"}
    assert set(found["size"]) == {"4", "8"}
    row = found.filter(
        pl.col("search") == "search", pl.col("size") == "4",
        pl.col("arm") == "relative", pl.col("reference") == "tuned",
    ).row(0, named=True)  # fmt: skip
    # Two more of twenty facts, in each of three searches.
    assert row["difference"] == pytest.approx(2 / toy_stages.FACTS)
    assert (row["replicas"], row["facts"], len(row["keys"])) == (3, toy_stages.FACTS, 3)


def test_one_seed_is_no_sample_of_trainings(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="fewer than two seeds"):
        repaired(tmp_path / "store", seeds=[0])


def test_a_study_without_a_search_says_so(tmp_path: Path) -> None:
    plain = {name: value for name, value in GRID.items() if name != "search"}
    with pytest.raises(BadInput, match="the study has no search"):
        repaired(tmp_path / "store", grids=[plain])
