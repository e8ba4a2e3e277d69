"""What moved in a study: drift as real stages write it, and concentration next to its null."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from made_up_study import Grid, build_study
from sixtyfold.core.statistics import mean_and_half_width
from sixtyfold.reporting.page import Figure, Section
from sixtyfold.reporting.study_charts import figures
from sixtyfold.reporting.study_moved import moved
from sixtyfold.reporting.study_results import StudyResults, read_study_results
from sixtyfold.reporting.untrusted import script_json
from sixtyfold.reporting.weight_sections import NULL_EXPLAINED
from sixtyfold.stages.drift.summary import SUMMARY_SCHEMA, drift_summary
from sixtyfold.study.open_store import open_store

LEVELS = ("natural", "0")
SIDES = ("base", "tuned")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    root = tmp_path_factory.mktemp("moved") / "store"
    grid = Grid(models=("small", "large"), sizes=(60, 960), levels=LEVELS, seeds=3, diff=True)
    return results(build_study(root, facts=60, grid=grid))


def results(root: Path) -> StudyResults:
    return read_study_results(open_store(str(root), make=False), "made-up")


def interval(*values: float) -> Any:
    """Mean of seeds with its t interval."""
    mean, half = mean_and_half_width(np.array(values))
    return pytest.approx([mean, mean - half, mean + half])


def figure(section: Section, name: str) -> Figure:
    (found,) = (each for each in section.figures if each.name == name)
    return found


def test_drift_is_called_as_the_stage_calls_it() -> None:
    """What is made up here and in studies of toy stages is what `drift` writes."""
    names = ("kl_top10", "base_mass_top10", "kl_tuned_base", "kl_base_tuned", "js")
    names += tuple(f"{what}_logp_{side}" for what in ("answer", "whole") for side in SIDES)
    facts = pl.DataFrame({name: [0.5] for name in names}).with_columns(
        level=pl.lit(4), domain=pl.lit("in"), relation=pl.lit("r")
    )
    columns = ("position", *(f"logp_{side}" for side in SIDES))
    positions = pl.DataFrame(schema=dict.fromkeys(columns, pl.Float64))
    summary = drift_summary(facts, positions)
    assert summary.schema == SUMMARY_SCHEMA
    assert summary.filter(pl.col("split") == "all")["group"].unique().to_list() == ["all"]


def test_drift_is_drawn_with_intervals_over_the_seeds(study: StudyResults) -> None:
    drawn = figure(moved(study), "moved-kl_top10-0")
    rows = drawn.chart["data"]["values"]
    (row,) = (each for each in rows if (each["series"], each["examples"]) == ("natural", 60.0))
    mean, half = mean_and_half_width(pl.Series([0.16, 0.17, 0.18]).to_numpy())
    assert [row["value"], row["low"], row["high"]] == pytest.approx(
        [mean, mean - half, mean + half]
    )
    assert drawn.caption.startswith(
        "KL(tuned ‖ base), 10 largest logits, large: mean over the seeds"
    )
    assert ["natural", "60", "0.17 (0.1452–0.1948)", "3"] in [
        list(each) for each in drawn.data.rows
    ]


def test_drift_stands_in_the_figures_of_the_results(study: StudyResults) -> None:
    rows = study.numbers.filter("chosen", pl.col("measure").is_in(["kl_top10", "examples"]))
    drawn = figures(rows)["kl_top10"]
    assert {row["value"] for row in drawn["data"]["values"]} >= {0.16, 0.17, 0.18}


def test_concentration_stands_next_to_its_null(study: StudyResults) -> None:
    section = moved(study)
    assert section.text == [NULL_EXPLAINED]
    names = [each.name for each in section.figures if each.name.startswith("concentration")]
    assert names == [f"concentration-{ranked}-{n}" for ranked in ("relative", "absolute")
                     for n in (0, 1)]  # fmt: skip
    drawn = figure(section, "concentration-relative-0")
    rows = drawn.chart["data"]["values"]
    assert len(rows) == 4 * 2 * 2  # ways of training, tops, update and null
    (row,) = (each for each in rows if (each["series"], each["percent"], each["kind"])
              == ("960, natural", 20.0, "null"))  # fmt: skip
    mean, half = mean_and_half_width(pl.Series([0.895, 0.905, 0.915]).to_numpy())
    assert [row["share"], row["low"], row["high"]] == pytest.approx(
        [mean, mean - half, mean + half]
    )
    cells = next(row for row in drawn.data.rows if row[:2] == ["960, natural", "20%"])
    assert cells[2:] == ["90.60 (88.12–93.08)", "90.50 (88.02–92.98)", "45.30 (44.06–46.54)",
                         "+0.10 (+0.10 to +0.10)", "3"]  # fmt: skip
    assert drawn.chart["description"] == (
        "Concentration of the update next to its null: the top 1% hold 51.6% to 60.6%, of the null "
        "51.5% to 60.5%; the top 20% hold 81.6% to 90.6%, of the null 81.5% to 90.5%"
    )


def test_absolute_change_is_read_against_the_normal_null(study: StudyResults) -> None:
    drawn = figure(moved(study), "concentration-absolute-0")
    (row,) = (each for each in drawn.chart["data"]["values"] if (each["series"], each["percent"],
              each["kind"]) == ("60, natural", 1.0, "null"))  # fmt: skip
    assert row["share"] == pytest.approx(0.116 / 2)
    cells = next(row for row in drawn.data.rows if row[:2] == ["60, natural", "1%"])
    assert cells[3] == "–"
    assert cells[5].startswith("+5.80 (")


def test_an_interval_of_shares_stays_within_them(study: StudyResults) -> None:
    sure = study.numbers.with_columns(
        value=pl.when(pl.col("measure") == "concentration of relative")
        .then(1 - pl.col("seed") / 100)
        .otherwise("value")
    )
    drawn = figure(moved(study._replace(numbers=sure)), "concentration-relative-0")
    held = [row for row in drawn.chart["data"]["values"] if row["kind"] == "update"]
    assert {row["high"] for row in held} == {1.0}


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    grid = Grid(sizes=(60,), levels=LEVELS, seeds=1, diff=True)
    section = moved(results(build_study(tmp_path / "s", facts=60, grid=grid)))
    row = figure(section, "concentration-relative-0").data.rows[0]
    assert row[2:] == ["50.60", "50.50", "25.30", "+0.10 (one seed)", "1"]
    assert figure(section, "moved-kl_top10-0").data.rows[0][2] == "0.16"


def test_what_is_not_there_yet_was_asked_for(study: StudyResults) -> None:
    none = study.numbers.clear()
    assert moved(study._replace(numbers=none)).missing == (
        "Not yet in this study: no result of 'drift' or 'diff' is there."
    )
    cells = study.cells.filter(~pl.col("role").is_in(["drift", "diff"]))
    assert (moved(study._replace(numbers=none, cells=cells)).missing or "").startswith(
        "Not in this study: neither"
    )


def test_a_training_that_diverged_is_shown_as_none(study: StudyResults) -> None:
    lost = study.numbers.with_columns(
        value=pl.when((pl.col("measure") == "kl_top10") & (pl.col("seed") == 1))
        .then(float("nan"))
        .otherwise("value")
    )
    drawn = figure(moved(study._replace(numbers=lost)), "moved-kl_top10-0")
    assert {row[2] for row in drawn.data.rows} == {"nan"}
    rows = json.loads(script_json(drawn.chart))["data"]["values"]
    assert {row["value"] for row in rows} == {None}
