from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import toy_stages
from sixtyfold.core.errors import BadInput
from sixtyfold.reporting.study import results
from sixtyfold.study import run as study_run
from sixtyfold.study.inputs import find_inputs
from sixtyfold.study.jobs import Place
from sixtyfold.study.plan import Inputs
from sixtyfold.study.results import main_figures
from sixtyfold.study.spec import StudyResultsSpec, StudyRunSpec
from sixtyfold.study.store import LocalStore

INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("x", "model0")}, frozenset())


@pytest.fixture
def study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of toy stages; what it names is not looked for."""
    assert find_inputs is study_run.find_inputs
    monkeypatch.setattr(study_run, "find_inputs", lambda _: INPUTS)
    toy_stages.use(monkeypatch)
    grid = {"name": "g", "select": {"size": [4, 8]}, "tune": {"lora_rank": [4, 8]}, "drift": {}}
    values: dict[str, Any] = {"name": "toy", "models": [{"name": "m", "model": "x"}]}
    values |= {"store": str(tmp_path / "store"), "seeds": [0, 1], "grids": [grid]}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_table_and_figures_are_written(study_file: Path, tmp_path: Path) -> None:
    study_run.run(StudyRunSpec(file=study_file), tell=lambda _: None)
    out, drawn = tmp_path / "r.parquet", tmp_path / "figures"
    table = results(StudyResultsSpec(file=study_file, out=out, figures=drawn))
    assert pl.read_parquet(out).equals(table)
    assert table.filter(pl.col("role") == "test")["value"].is_between(0, 1).all()
    names = {path.name for path in drawn.iterdir()}
    for name in ("macro_relation", "difference", "levels"):
        assert {f"{name}.png", f"{name}.json"} <= names
        assert (drawn / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    drawn_rows = json.loads((drawn / "macro_relation.json").read_text())
    points = drawn_rows["data"]["values"]
    assert len(points) == 2 * 2 * 2  # sizes, ranks, seeds: the base has no size
    assert {point["series"] for point in points} == {"lora_rank 4", "lora_rank 8"}


def test_the_size_all_is_drawn_at_its_number_of_examples(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seven(spec: Any) -> Any:
        rows = pl.DataFrame({"level": [4] * 7, "relation": ["r"] * 7})
        return toy_stages._write("select", spec, {"selection": rows}, size={"size": 7})

    monkeypatch.setattr(toy_stages, "select", seven)
    values = yaml.safe_load(study_file.read_text())
    values["grids"] = [{"name": "g", "select": {"size": "all"}}]
    study_file.write_text(yaml.safe_dump(values))
    study_run.run(StudyRunSpec(file=study_file), tell=lambda _: None)
    results(StudyResultsSpec(file=study_file, figures=tmp_path / "f"))
    drawn = json.loads((tmp_path / "f" / "macro_relation.json").read_text())
    assert [point["examples"] for point in drawn["data"]["values"]] == [7.0, 7.0]


def test_the_printed_table_keeps_what_differs(study_file: Path) -> None:
    study_run.run(StudyRunSpec(file=study_file), tell=lambda _: None)
    table = results(StudyResultsSpec(file=study_file))
    shown = main_figures(table, "macro_relation", "test")
    assert shown.columns == ["grid", "size", "options", "mean", "sd", "lowest", "highest", "seeds"]
    trained = shown.filter(pl.col("grid") == "g")
    assert trained["options"].to_list() == ["lora_rank 4", "lora_rank 8"] * 2
    assert trained["seeds"].to_list() == [2] * 4
    # toy accuracy: (seed + size + 10 for the rate 1e-4) of 20 facts
    assert trained["mean"].to_list() == pytest.approx([0.725, 0.725, 0.925, 0.925])


def test_what_is_not_there_is_said(study_file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"there is no store in .*study run' makes one"):
        results(StudyResultsSpec(file=study_file))
    assert not (tmp_path / "store").exists()
    LocalStore(tmp_path / "store")
    with pytest.raises(BadInput, match="roles: none yet"):
        main_figures(results(StudyResultsSpec(file=study_file)), "micro", "test")
    with pytest.raises(BadInput, match="run the study first"):
        results(StudyResultsSpec(file=study_file, figures=tmp_path / "f"))
    with pytest.raises(BadInput, match=r"allowed: a file named \.csv or \.parquet"):
        results(StudyResultsSpec(file=study_file, out=tmp_path / "r.xlsx"))
    study_run.run(StudyRunSpec(file=study_file), tell=lambda _: None)
    with pytest.raises(BadInput, match="'mikro'; did you mean 'micro'"):
        main_figures(results(StudyResultsSpec(file=study_file)), "mikro", "test")
