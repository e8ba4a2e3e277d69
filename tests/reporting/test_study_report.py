"""The report of a study: its numbers are those of the answers, its advice follows the truth."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from made_up_study import Grid, Truth, build_study, write_study
from sixtyfold.core.accuracy import accuracy
from sixtyfold.core.errors import BadInput
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.reporting.advice import DO
from sixtyfold.reporting.packed import unpacked
from sixtyfold.reporting.page import Page, Section
from sixtyfold.reporting.run import run as run_report
from sixtyfold.reporting.spec import ReportSpec
from sixtyfold.reporting.study_report import study_page
from sixtyfold.reporting.study_results import StudyResults, read_study_results
from sixtyfold.reporting.study_tables import Repairs, repaired
from sixtyfold.reporting.study_words import way_words
from sixtyfold.study.any_store import StoredTable
from sixtyfold.study.open_store import open_store
from sixtyfold.study.store import LocalStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_study(tmp_path_factory.mktemp("study") / "store", facts=600,
                       grid=Grid(sizes=(60, 960), search=True))  # fmt: skip


@pytest.fixture(scope="module")
def study(store: Path) -> StudyResults:
    return read_study_results(open_store(str(store), make=False), "made-up")


@pytest.fixture(scope="module")
def page(store: Path) -> Page:
    return study_page(str(store), None)[1]


def part(page: Page, anchor: str) -> Section:
    return next(section for section in page.sections if section.anchor == anchor)


def test_ways_are_trainings_that_differ_in_their_seed(study: StudyResults) -> None:
    assert len(study.ways) == 2 * 4
    assert {tuple(way.test) for way in study.ways} == {(0, 1)}
    assert [way.examples for way in study.ways] == [60.0] * 4 + [960.0] * 4
    assert {way.untuned for way in study.ways} == {study.ways[0].untuned}
    base = study.cells.filter(
        (pl.col("grid") == "base, 4 examples") & (pl.col("role") == "test")
    )["key"].item()  # fmt: skip
    assert study.ways[0].untuned == base


def test_accuracies_are_the_means_over_the_seeds(store: Path, study: StudyResults) -> None:
    way = study.ways[-1]
    own = study.accuracies.filter(
        (pl.col("size") == "960") & (pl.col("levels") == "natural")
        & (pl.col("domain") == "in") & (pl.col("over") == "relations")
    )  # fmt: skip
    opened = LocalStore(store, make=False)
    tables = [opened.table(StoredTable("answers", "evaluate", key)) for key in way.test.values()]
    values = [accuracy(table, "in").macro_relation for table in tables]
    assert way.labels["levels"] == "natural"
    assert own["value"].item() == pytest.approx(sum(each.value for each in values if each) / 2)
    assert own["low"].item() < own["value"].item() < own["high"].item()


def test_advice_follows_the_made_up_truth(page: Page) -> None:
    (do,) = [points for heading, points in part(page, "next").points if heading == DO]
    said = [point.sentence for point in do]
    of_all = "Shown for 4 of 4: level 0; level 2; level 4; natural."
    assert f"In-domain: train on 960 examples rather than 60. {of_all}" in said
    assert "In-domain: do not train on facts of level 0 alone." in said
    assert any(
        sentence.startswith("In-domain: put weights back after tuning ('sixtyfold search'). Shown")
        for sentence in said
    )
    assert any(sentence.startswith("In-domain: tune, as in 960, level 2") for sentence in said)
    assert not any("prefer training facts of level 0" in sentence for sentence in said)


def test_the_opposite_truth_gives_the_opposite_advice(tmp_path: Path) -> None:
    truth = Truth({"natural": 0.0, "0": 0.1}, doubling=-0.03, untuned=0.25, repair=-0.1)
    grid = Grid(sizes=(60, 960), levels=("natural", "0"), search=True, truth=truth)
    build_study(tmp_path / "s", facts=600, grid=grid)
    page = study_page(str(tmp_path / "s"), None)[1]
    (do,) = [points for heading, points in part(page, "next").points if heading == DO]
    said = {point.sentence for point in do if point.sentence.startswith("In-domain")}
    assert said == {
        "In-domain: train on 60 examples: 960 do worse. Shown for 2 of 2: level 0; natural.",
        "In-domain: prefer training facts of level 0 ('sixtyfold select --levels 0').",
        "In-domain: do not tune: the untuned model with its best prompt does better.",
        (
            "In-domain: leave the tuned weights as they are: putting them back costs answers. "
            "Shown for 4 of 4: 60, level 0; 60, natural; 960, level 0; 960, natural."
        ),
    }


def test_what_is_not_different_gives_no_advice(tmp_path: Path) -> None:
    build_study(tmp_path / "s", facts=60, grid=Grid(sizes=(60, 61), levels=("natural",)))
    page = study_page(str(tmp_path / "s"), None)[1]
    sizes = [
        line
        for _, points in part(page, "next").points
        for point in points
        for line in point.evidence
        if line.startswith("61 over 60")
    ]
    assert len(sizes) == 2
    do = next(points for heading, points in part(page, "next").points if heading == DO)
    assert not any("train on" in point.sentence for point in do)


def test_what_one_seed_shows_is_said_of_one_seed(tmp_path: Path) -> None:
    grid = Grid(sizes=(60, 960), levels=("natural", "0"), seeds=1)
    build_study(tmp_path / "one", facts=60, grid=grid)
    build_study(tmp_path / "two", facts=60, grid=grid._replace(seeds=2))
    for store, marked in (("one", True), ("two", False)):
        section = part(study_page(str(tmp_path / store), None)[1], "next")
        lines = [line for _, points in section.points for point in points
                 for line in point.evidence]  # fmt: skip
        assert len(lines) == 4 + 2 + 2  # sizes of two kinds, level 0, best on dev; two domains
        assert {", one seed: " in line for line in lines} == {marked}


def test_one_size_and_no_base_compare_nothing(tmp_path: Path) -> None:
    root = build_study(tmp_path / "s", facts=60, grid=Grid(sizes=(60,), levels=("natural",)))
    cells = next((root / "studies").rglob("cells.parquet"))
    kept = pl.read_parquet(cells).filter(pl.col("role") != "compare")
    kept.write_parquet(cells)
    page = study_page(str(root), None)[1]
    assert (part(page, "next").missing or "").startswith("This study compares nothing")
    assert (part(page, "gained").missing or "").startswith("Not in this study")
    assert (part(page, "repaired").missing or "").startswith("Not in this study: no search")


def cells_of(root: Path) -> Path:
    """The cells of the one study of a store."""
    return next((root / "studies").rglob("cells.parquet"))


def small(root: Path, levels: tuple[str, ...] = ("natural", "0")) -> Path:
    """A study of two sizes whose training sets of 60 and of 240 stand in grids of their own."""
    build_study(root, facts=60, grid=Grid(sizes=(60, 240), levels=levels))
    cells = pl.read_parquet(cells_of(root))
    size = pl.col("size")
    named = pl.when(size.is_not_null()).then(pl.lit("levels-") + size).otherwise("grid")
    cells.with_columns(grid=named).write_parquet(cells_of(root))
    return root


def again(root: Path, grid: str, **changed: pl.Expr) -> None:
    """Let the natural trainings stand in another grid too."""
    cells = pl.read_parquet(cells_of(root))
    natural = cells.filter(pl.col("levels") == "natural").with_columns(grid=pl.lit(grid), **changed)
    pl.concat([cells, natural]).write_parquet(cells_of(root))


def ways_of(root: Path) -> list[str]:
    study = read_study_results(open_store(str(root), make=False), "made-up")
    return [way_words(study, way.labels) for way in study.ways]


def test_a_training_that_several_grids_hold_stands_once(tmp_path: Path) -> None:
    root = small(tmp_path / "s")
    again(root, "natural")
    assert ways_of(root) == ["60, level 0", "60, natural", "240, level 0", "240, natural"]
    figure = part(study_page(str(root), None)[1], "sizes").figures[0]
    assert {row["series"] for row in figure.chart["data"]["values"]} == {"level 0", "natural"}
    asked = part(study_page(str(root), None)[1], "asked").tables[0].rows[0]
    assert asked[1:3] == ["4", "8"]
    assert asked[-1] == "levels-60 + levels-240 + natural"


def test_grids_that_train_otherwise_stay_apart(tmp_path: Path) -> None:
    root = small(tmp_path / "rates")
    again(root, "other rate", learning_rate=pl.lit(1e-3))
    assert ways_of(root)[-1] == "other rate, 240, natural"
    assert len(ways_of(root)) == 6
    root = small(tmp_path / "results")
    others = pl.col("key").reverse().over("role")  # other results of what is called the same
    again(root, "again", key=others)
    assert len(ways_of(root)) == 6


def test_levels_are_compared_at_the_largest_size_both_have(tmp_path: Path) -> None:
    root = small(tmp_path / "s")
    cells = pl.read_parquet(cells_of(root))
    gone = (pl.col("levels") == "0") & (pl.col("size") == "240")
    cells.filter(~gone.fill_null(value=False)).write_parquet(cells_of(root))
    lines = [
        line
        for _, points in part(study_page(str(root), None)[1], "next").points
        for point in points
        for line in point.evidence
        if line.startswith("level 0 over natural")
    ]
    assert [line.split(":")[0] for line in lines] == [
        "level 0 over natural training facts (60), in-domain",
        "level 0 over natural training facts (60), out-of-domain",
    ]


def test_repairs_are_drawn_in_points_without_the_untuned_model(page: Page, store: Path) -> None:
    cells = pl.read_parquet(cells_of(store))
    assert cells.filter(pl.col("role") == "search").height == 16
    section = part(page, "repaired")
    (figure,) = section.figures
    drawn = figure.chart["data"]["values"]
    assert [row["way"] for row in drawn][:2] == ["relative · 60, level 0", "relative · 60, level 2"]
    assert len(figure.data.rows) == len(drawn) == 2 * 8
    (row,) = (row for row in drawn if row["way"] == "relative · 60, natural")
    text = next(cells[1] for cells in figure.data.rows if cells[0] == row["way"])
    assert text.startswith(f"+{row['value']:.1f} (")
    assert 5 < row["value"] < 15
    arms = pl.DataFrame([
        {"model": "m", "way": "all", "trained on": "all", "search": "search", "domain": "in",
         "reference": "tuned", "arm": arm, "accuracy": 0.5, "difference": -0.1, "low": -0.2,
         "high": 0.0, "p": 0.04, "p_holm": 0.08, "replicas": 2, "facts": 40}
        for arm in ("base", "relative")
    ])  # fmt: skip
    (figure,) = repaired(Repairs(arms)).figures
    assert [row["way"] for row in figure.chart["data"]["values"]] == ["relative · all"]
    assert [row[0] for row in figure.data.rows] == ["base · all", "relative · all"]


def test_searches_that_cannot_be_taken_together_are_named_and_left_out(tmp_path: Path) -> None:
    grid = Grid(sizes=(60,), levels=("natural", "0"), search=True)
    root = build_study(tmp_path / "s", facts=100, grid=grid)
    cells = pl.read_parquet(cells_of(root)).filter(pl.col("role") == "search")
    other = cells.filter(levels="0")["key"][0]
    path = root / "results" / "search" / other / "manifest.json"
    record = root / "records" / f"{other}.json"
    before = file_sha256(path)
    path.write_text(path.read_text().replace('"split": "test"', '"split": "last"'))
    record.write_text(record.read_text().replace(before, file_sha256(path)))
    section = part(study_page(str(root), None)[1], "repaired")
    assert section.text[1].startswith("Left out, ")
    assert "level 0" in section.text[1]
    assert "was searched with another split" in section.text[1]
    ways = {row["way"] for row in section.figures[0].chart["data"]["values"]}
    assert all("natural" in way for way in ways)


def test_heat_map_is_train_by_test_level(page: Page) -> None:
    figure = part(page, "levels").figures[0]
    cells = {(row["way"], row["level"]): row["value"] for row in figure.chart["data"]["values"]}
    assert len(cells) == 8 * 5
    assert {row["of"] for row in figure.chart["data"]["values"]} == {
        f"{level} (80)" for level in range(5)
    }
    assert cells["60, level 0", "4"] < cells["60, natural", "4"] < cells["60, level 2", "4"]
    assert figure.data.columns[1:6] == [f"test level {level}" for level in range(5)]
    row = next(row for row in figure.data.rows if row[0] == "60, level 0")
    assert row[5] == f"{100 * cells['60, level 0', '4']:.1f}"


def test_curves_have_every_kind_of_training_set(page: Page) -> None:
    values = part(page, "sizes").figures[0].chart["data"]["values"]
    assert {row["series"] for row in values} == {"level 0", "level 2", "level 4", "natural"}
    assert {row["examples"] for row in values} == {60.0, 960.0}
    assert all(row["low"] <= row["value"] <= row["high"] for row in values)


def test_every_number_stands_in_the_table(page: Page, study: StudyResults) -> None:
    trainings, numbers = part(page, "everything").long_tables
    assert len(unpacked(numbers.packed)["value"]) == study.numbers.height
    rows = unpacked(trainings.packed)
    assert len(rows["size"]) == 8 * 2
    assert set(rows["levels"]) == {"natural", "0", "2", "4"}


def test_how_to_repeat_it(page: Page, store: Path) -> None:
    section = part(page, "repeat")
    assert f"sixtyfold study run --file s.yaml --store {store}" in section.commands
    assert "about: How many examples?" in section.files[0][1]
    assert any("torch" in row[0] for row in section.tables[0].rows)


def test_the_command_writes_a_file(store: Path, tmp_path: Path) -> None:
    out = run_report(ReportSpec(store=str(store), out=tmp_path / "study.html"))
    text = out.read_text(encoding="utf-8")
    assert "<title>Study: made-up</title>" in text
    assert len(text) < 15_000_000


def test_a_store_elsewhere_gives_the_same_page(tmp_path: Path) -> None:
    grid = Grid(sizes=(60,), levels=("natural", "0"), search=True)
    build_study(tmp_path / "here", "s", facts=60, grid=grid)
    write_study("memory://report", "s", 60, grid, about="How many examples?")
    stores = (str(tmp_path / "here"), "memory://report")
    here, there = (study_page(url, None)[1] for url in stores)
    assert [part(page, "repeat").commands[1] for page in (here, there)] == [
        f"sixtyfold study results --file s.yaml --store {url} --out results.parquet"
        for url in stores
    ]
    assert here.sections[:-1] == there.sections[:-1]


def test_an_unfinished_study_says_so(tmp_path: Path) -> None:
    root = build_study(tmp_path / "s", facts=60, grid=Grid(sizes=(60,)))
    tested = pl.read_parquet(next((root / "studies").rglob("cells.parquet")))
    gone = tested.filter(pl.col("role") == "drift")["key"][0]
    (root / "records" / f"{gone}.json").unlink()
    text = part(study_page(str(root), None)[1], "asked").text
    assert any("The study is not finished" in line for line in text)


def test_refusals(store: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--study made-ip was given; did you mean 'made-up'"):
        study_page(str(store), "made-ip")
    with pytest.raises(BadInput, match="there is no store"):
        study_page(str(tmp_path / "none"), None)
    LocalStore(tmp_path / "empty")
    with pytest.raises(BadInput, match="holds no study"):
        study_page(str(tmp_path / "empty"), None)
    build_study(tmp_path / "two", "one", facts=60, grid=Grid(sizes=(60,), levels=("natural",)))
    other = tmp_path / "two" / "studies" / "other"
    other.mkdir()
    cells = pl.read_parquet(next((tmp_path / "two").rglob("cells.parquet")))
    cells.filter(pl.col("role") == "dev").write_parquet(other / "cells.parquet")
    with pytest.raises(BadInput, match="holds 2 studies; name one with --study: one, other"):
        study_page(str(tmp_path / "two"), None)
    with pytest.raises(BadInput, match="no training of the study other has answers on test yet"):
        study_page(str(tmp_path / "two"), "other")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "neither of --run and --store was given"),
        ({"run": "r", "store": "s"}, "both of --run and --store was given"),
        ({"run": "r", "study": "x"}, "--study x was given without --store"),
    ],
)
def test_one_subject(options: dict[str, str], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ReportSpec.parse(options)
