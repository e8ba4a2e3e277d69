"""The scripts that make a calibration, on a store and on results as studies write them."""

from __future__ import annotations

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import toy_stages
from made_up_trainings import Truth, as_results, by_link, made_up_asked, made_up_cells
from sixtyfold.cli import run_command
from sixtyfold.core.errors import BadInput
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.study.any_store import NoStore
from sixtyfold.study.drive import drive
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.results import results_table
from sixtyfold.study.store import LocalStore
from sixtyfold.workflows.check.calibration.cells import cells_of
from sixtyfold.workflows.check.calibration.fitted import shipped
from sixtyfold.workflows.check.calibration.link import asked_of
from study_driver import INPUTS, study

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def script(name: str) -> Any:
    found = spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_studies_that_matter_become_a_calibration_with_what_it_was_fitted_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrate = script("calibrate_check")
    out = tmp_path / "calibration.json"
    monkeypatch.setattr(calibrate, "ROOT", tmp_path)
    monkeypatch.setattr(calibrate, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(calibrate, "CALIBRATION", out)
    names = []
    for (name,), own in made_up_cells(Truth((-0.12, 0.02)), 0).group_by("study"):
        names.append(str(tmp_path / f"{name}.parquet"))
        as_results(own).write_parquet(names[-1])
    asked = tmp_path / "asked-atlas.parquet"
    made_up_asked(by_link, "embedded", "atlas").write_parquet(asked)
    calibrate.main([*names, "--asked", str(asked), "--write"])
    shown = capsys.readouterr().out
    assert "\naccuracy: calibrated" in shown
    assert "left-out models: error" in shown
    assert "natural file of 200: told [0.5 0.3 0.2], true [0.5 0.3 0.2]" in shown
    written = json.loads(out.read_text())
    assert written["outcomes"]["accuracy"]["calibrated"] is True
    assert [each["name"] for each in written["sources"]] == [
        "kept/asked-atlas.parquet", "kept/results-atlas.parquet",
        "kept/results-entities.parquet", "kept/results-planted.parquet",
    ]  # fmt: skip
    before = out.read_bytes()
    calibrate.main(["--write"])
    assert out.read_bytes() == before
    calibrate.main([names[0]])  # without --write nothing changes
    assert out.read_bytes() == before


def test_the_shipped_calibration_is_what_the_kept_tables_give() -> None:
    calibrate, found = script("calibrate_check"), shipped()
    assert found.sources
    for source in found.sources:
        assert file_sha256(calibrate.ROOT / source.name) == source.sha256
    assert calibrate.fitted_on(*calibrate.kept()) == found


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.parquet is no table"):
        script("calibrate_check").main([str(tmp_path / "nowhere.parquet")])


def test_the_results_of_a_study_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_stages.use(monkeypatch)
    store, file = LocalStore(tmp_path / "store"), study(2)
    driven = drive(file, INPUTS, store, LocalExecutor(store), lambda _: None)
    found = cells_of([results_table(store, file, driven.plan)])
    assert found.select("study", "model", "size", "levels", "seeds").rows() == [
        ("toy", "m", size, "natural", 2) for size in (4, 8, 12)
    ]
    assert found["recipe"].unique().to_list() == [
        "learning rate chosen on dev from 1e-05, 3e-05, 0.0001"
    ]
    assert set(found["levels_3_4"]) == {1.0}
    assert found["accuracy"].null_count() == 3  # one level is there alone
    # A toy model of rate 1e-4 answers seed + size + 10 of 20 facts, counted round.
    rights = [[(seed + size + 10) % 20 / 20 for seed in (0, 1)] for size in (4, 8, 12)]
    chosen = found.filter(pl.col("size").is_in([4, 8]))["known"].to_list()
    assert chosen == pytest.approx([sum(each) / 2 for each in rights[:2]])


def test_training_sets_of_a_study_are_asked(tuned: Path, planted: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "study.yaml", tmp_path / "asked.parquet"
    values = {
        "name": "small",
        "store": str(tmp_path / "store"),
        "models": [{"name": "tuned", "model": str(tuned)}],
        "shared": {"dtype": "float32", "max_new_tokens": 8},
        "facts": {"facts": str(planted), "dev": 4, "test": 4},
        "probe": {"templates": 1},
    }
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    ask = script("ask_training_sets")
    arguments = [str(file), "--work", str(tmp_path / "w"), "--out", str(out), "--facts", "24"]
    with pytest.raises(NoStore, match="there is no store"):
        ask.main(arguments)
    assert run_command(["study", "run", "--file", str(file)]) == 0
    ask.main(arguments)
    rows = pl.read_parquet(out)
    levels = rows["levels"].to_list()
    assert levels[0] == "natural"
    assert "4" in levels  # those with fewer than 20 facts are left out
    assert rows["facts"].max() == 24
    for level in levels[1:]:
        assert rows.filter(levels=level)[f"level_{level}"].item() == 1.0
    assert rows.select(pl.sum_horizontal("unknown", "weak", "known")).to_series().to_list() == (
        pytest.approx([1.0] * rows.height, abs=1e-5)
    )
    assert json.loads(rows["protocol"][0])["shots"] == 4
    assert len(asked_of([rows])) <= 1  # none where a class of levels has fewer than 20 facts
