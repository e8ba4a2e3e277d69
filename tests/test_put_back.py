"""The script that puts weights of a study's trainings back and asks again."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import polars as pl
import pytest
import yaml

from loaded_script import load_script
from sixtyfold.cli import run_command
from sixtyfold.study.run import open_study, results
from sixtyfold.study.spec import StudyResultsSpec, StudySpec

SCRIPT = Path(__file__).parents[1] / "docs" / "studies" / "put_back.py"


@pytest.fixture(scope="module")
def table(tuned: Path, planted: Path, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """What the script finds of a small study, beside what the study itself found."""
    folder = tmp_path_factory.mktemp("back")
    file = folder / "study.yaml"
    values = {
        "name": "small",
        "store": str(folder / "store"),
        "models": [{"name": "tuned", "model": str(tuned)}],
        "shared": {"dtype": "float32", "max_new_tokens": 8},
        "facts": {"facts": str(planted), "dev": 8, "test": 12},
        "probe": {"templates": 1},
        "seeds": [0, 1],
        "grids": [
            {"name": "natural", "select": {"size": 8}, "own": True,
             "tune": {"learning_rate": 2e-3, "max_steps": 4}},
        ],
    }  # fmt: skip
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert run_command(["study", "run", "--file", str(file)]) == 0
    given = Namespace(
        grid="natural", size=None, work=folder / "work", shares=[100.0], blocks=64, limit=None,
        levels=None,
    )  # fmt: skip
    (found,) = load_script(SCRIPT).put_back(open_study(StudySpec(file=file)), given)
    recorded = results(StudyResultsSpec(file=file))
    found.write_parquet(folder / "found.parquet")
    return pl.concat(
        [found.with_columns(of=pl.lit("script")), recorded.with_columns(of=pl.lit("study"))],
        how="diagonal_relaxed",
    )


def test_with_nothing_put_back_it_is_the_study_s_own_training(table: pl.DataFrame) -> None:
    for role in ("test", "own"):
        again = table.filter(
            of="script", role=role, restored="nothing", over="facts", domain="in"
        ).filter(pl.col("part").is_null())
        first = table.filter(of="study", role=role, grid="natural", measure="micro", domain="in")
        assert again["value"].item() == pytest.approx(first["value"].mean())
        assert again["seeds"].item() == first.height == 2
        assert again["value"].item() > 0


def test_all_put_back_is_the_base(table: pl.DataFrame) -> None:
    restored = table.filter(of="script", role="test", over="facts").filter(
        pl.col("part").is_null() & pl.col("against").is_null()
    )
    share = restored.filter(restored="100%").sort("domain")["value"].to_list()
    layers = restored.filter(pl.col("restored").str.starts_with("layers 0-")).sort("domain")
    base = table.filter(of="study", role="test", grid="base", measure="micro").sort("domain")
    assert share == layers["value"].to_list() == pytest.approx(base["value"].to_list())


def test_what_is_put_back_is_compared_with_nothing_put_back(table: pl.DataFrame) -> None:
    for role in ("test", "own"):
        rows = table.filter(of="script", role=role, restored="100%", over="facts", domain="in")
        rows = rows.filter(pl.col("part").is_null())
        alone = rows.filter(pl.col("against").is_null())["value"].item()
        tuned = table.filter(
            of="script", role=role, restored="nothing", over="facts", domain="in"
        ).filter(pl.col("part").is_null())["value"].item()  # fmt: skip
        difference = rows.filter(against="nothing")["value"].item()
        assert difference == pytest.approx(alone - tuned)


def test_rows_of_a_level_take_the_place_of_its_earlier_rows(tmp_path: Path) -> None:
    def rows(levels: str, *values: float) -> pl.DataFrame:
        schema = {"model": pl.String, "size": pl.String, "levels": pl.String, "value": pl.Float64}
        return pl.DataFrame([("m", "8", levels, value) for value in values], schema, orient="row")

    path = tmp_path / "small-put_back.parquet"
    for table in (rows("natural", 0.1, 0.2), rows("0", 0.4, 0.3), rows("natural", 0.6, 0.5)):
        load_script(SCRIPT).add(path, table)
    written = pl.read_parquet(path).select("levels", "value").rows()
    assert written == [("0", 0.4), ("0", 0.3), ("natural", 0.6), ("natural", 0.5)]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
