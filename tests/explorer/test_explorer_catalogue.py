"""What a store, a run directory and a watch are said to hold."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from made_up_store import BASE_MODEL, FACTS, PROBE, RUNS, MadeRun, answers, build_store, facts

import made_up_run
import toy_stages
from sixtyfold.core.atomic_files import write_json, write_parquet
from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput
from sixtyfold.explorer.comparison import Comparisons, Filters
from sixtyfold.explorer.of_run import catalogue_of_run
from sixtyfold.explorer.of_store import catalogue_of_store
from sixtyfold.explorer.of_watch import catalogue_of_watch, is_watch
from sixtyfold.explorer.server import open_catalogue
from sixtyfold.explorer.spec import ViewSpec
from sixtyfold.explorer.tables import Tables
from sixtyfold.study.drive import drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.open_store import open_store
from sixtyfold.study.plan import Inputs
from sixtyfold.study.store import LocalStore


def search_arms() -> pl.DataFrame:
    """Test answers of three arms."""
    asked = facts(20)
    return pl.concat(
        answers(asked, right, "no idea").select(pl.lit(arm).alias("arm"), pl.all())
        for arm, right in (("base", 4), ("relative", 7), ("tuned", 6))
    )


def test_runs_are_called_by_what_differs(tmp_path: Path) -> None:
    found = catalogue_of_store(build_store(tmp_path / "store", 4))
    assert [run.label for run in found.in_order()] == [
        "base · dev",
        "base · test",
        "sizes · size 60 · seed 0 · test",
        "sizes · size 240 · seed 0 · test",
        "sizes · size 240 · seed 1 · test",
    ]
    assert {run.group for run in found.runs.values()} == {"made-up"}
    assert list(found.facts) == [FACTS]
    assert list(found.probes) == [PROBE]
    assert found.notes == ()


def test_first_pair_is_the_base_and_the_first_tuned_run(tmp_path: Path) -> None:
    found = catalogue_of_store(build_store(tmp_path / "store", 4))
    pair = found.first_pair()
    assert pair is not None
    assert [run.name for run in pair] == [RUNS[0].key, RUNS[1].key]


def test_a_run_is_compared_with_the_base_its_study_compared_it_with(tmp_path: Path) -> None:
    shots = MadeRun("6" * 16, 8, grid="base, 4 examples", size=None, seed=None, tuned=False)
    store = build_store(tmp_path / "store", 4, runs=(*RUNS, shots))
    folder = store.root / "results" / "compare" / ("7" * 16)
    folder.mkdir(parents=True)
    write_parquet(folder / "transitions.parquet", pl.DataFrame({"fact_id": ["a"]}))
    record = json.loads((store.root / "records" / f"{RUNS[1].key}.json").read_text())
    reads = {"before": shots.key, "after": RUNS[1].key}
    record |= {"key": "7" * 16, "stage": "compare", "reads": reads}
    write_json(store.root / "records" / f"{'7' * 16}.json", record)
    found = catalogue_of_store(store)
    compared, other = found.runs[RUNS[1].key], found.runs[RUNS[2].key]
    assert found.base_of(compared) == found.runs[shots.key]
    assert found.base_of(other) == found.runs[RUNS[0].key]


def test_a_run_is_compared_with_a_base_of_its_own_model(tmp_path: Path) -> None:
    others = (
        MadeRun("6" * 16, 1, grid="base", size=None, seed=None, tuned=False, model="other"),
        MadeRun("7" * 16, 8, model="other"),
        MadeRun("8" * 16, 8, model="third"),
    )
    found = catalogue_of_store(build_store(tmp_path / "store", 4, runs=(*RUNS, *others)))
    first, base, trained, third = (found.runs[each.key] for each in (RUNS[0], *others))
    assert found.base_of(trained) == base
    assert found.base_of(found.runs[RUNS[1].key]) == first
    assert [found.base_of(each) for each in (first, base, third)] == [None, None, None]


def test_what_is_of_no_study_stands_last(tmp_path: Path) -> None:
    store = build_store(tmp_path / "store", 4)
    cells = next((store.root / "studies").rglob("cells.parquet"))
    rows = pl.read_parquet(cells).filter(pl.col("key") != RUNS[1].key)
    rows.with_columns(study=pl.lit("planted")).write_parquet(cells)
    names = [run.name for run in catalogue_of_store(store).in_order()]
    assert names[-1] == RUNS[1].key
    assert set(names) == {run.key for run in RUNS}


def test_models_that_are_gone_say_so(tmp_path: Path) -> None:
    store = build_store(tmp_path / "store", 4)
    kept = store.root / "results" / "tune" / f"a{RUNS[1].key[1:]}"
    (kept / "manifest.json").write_text("{}")
    models = catalogue_of_store(store).models
    assert models[BASE_MODEL].label == "m (base)"
    assert models[BASE_MODEL].missing is None
    assert models[f"a{RUNS[1].key[1:]}"].missing is None
    assert models[f"a{RUNS[1].key[1:]}"].reference == str(kept)
    assert "keep_checkpoints: true" in (models[f"a{RUNS[2].key[1:]}"].missing or "")


def test_arms_of_a_search_are_runs(tmp_path: Path) -> None:
    store = build_store(tmp_path / "store", 20)
    key, tuned = "8" * 16, f"a{RUNS[1].key[1:]}"
    folder = store.root / "results" / "search" / key
    folder.mkdir(parents=True)
    write_parquet(folder / "test_answers.parquet", search_arms())
    record = json.loads((store.root / "records" / f"{RUNS[1].key}.json").read_text())
    reads = {"base": BASE_MODEL, "tuned": tuned, "facts": FACTS}
    record |= {"key": key, "stage": "search", "reads": reads, "options": {"base": "embedded"}}
    write_json(store.root / "records" / f"{key}.json", record)
    found = catalogue_of_store(store)
    arm = found.runs[f"{key}.relative"]
    assert arm.label == f"job {key} · search: relative"
    assert "sixtyfold restore" in (found.models[str(arm.model)].missing or "")
    assert found.runs[f"{key}.tuned"].model == tuned
    pair = (found.runs[RUNS[1].key], arm)
    page = Comparisons(found, Tables()).page(pair, Filters(state=("gained",)))
    assert page.found == 6  # one more of every ten


def test_a_record_that_is_not_readable_is_left_out_and_told(tmp_path: Path) -> None:
    store = build_store(tmp_path / "store", 4)
    (store.root / "records" / f"{RUNS[2].key}.json").write_text("{")
    found = catalogue_of_store(store)
    assert RUNS[2].key not in found.runs
    assert len(found.runs) == len(RUNS) - 1
    assert len(found.notes) == 1
    assert RUNS[2].key in found.notes[0]


def test_an_empty_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(IncompleteInput, match="holds no answers yet; 'sixtyfold study run'"):
        catalogue_of_store(LocalStore(tmp_path / "store"))


@pytest.mark.parametrize("url", ["{}/store", "memory://explored"])
def test_a_store_that_a_study_made_here_or_elsewhere(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_stages.use(monkeypatch)
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    store = open_store(url.format(tmp_path))
    grid = {"name": "g", "select": {"size": [4, 8]}, "tune": {"learning_rate": 1e-5}, "search": {}}
    study = StudyFile.model_validate(
        {"name": "toy", "models": [{"name": "m", "model": "x"}], "grids": [grid]}
    )
    inputs = Inputs(Place("atlas", "facts0"), {"m": Place("x", "model0")}, frozenset())
    done = drive(study, inputs, store, LocalExecutor(store), lambda _: None)
    assert not done.failed
    found = catalogue_of_store(open_store(store.url, make=False))
    trained = [run for run in found.in_order("test") if not run.is_base and run.arm is None]
    assert [run.label for run in trained] == ["g · size 4 · test", "g · size 8 · test"]
    assert all(run.recorded is not None for run in trained)
    assert found.base_of(trained[0]) is not None
    arms = {run.arm for run in found.runs.values()}
    assert arms == {None, "tuned", "relative", "interpolation"}
    bare = found._replace(facts={}, probes={})  # the toy tables hold keys alone
    page = Comparisons(bare, Tables()).page((trained[0], trained[1]), Filters())
    assert page.found == toy_stages.FACTS
    with pytest.raises(Corrupted, match=r"a table is not readable.*question"):
        Comparisons(found, Tables()).page((trained[0], trained[1]), Filters())


def test_a_run_directory(tmp_path: Path) -> None:
    run = made_up_run.build_run(tmp_path / "run")
    found = catalogue_of_run(run)
    assert [each.label for each in found.in_order("test")] == [
        "base, asked plainly · test",
        "base, 4 worked examples · test",
        "tuned · test",
        "restored · test",
    ]
    pair = found.first_pair()
    assert pair is not None
    # of the ways of asking, the worked examples did best on dev
    assert [each.name for each in pair] == ["base-fewshot-test", "tuned-test"]
    comparisons = Comparisons(found, Tables())
    counts = comparisons.by_relation(pair, Filters())
    assert counts["gained"].to_list() == [2, 2, 0]
    assert found.models["base"].reference == "embedded"
    assert "is not there any more" in (found.models["tuned"].missing or "")


def test_a_directory_without_answers_is_told(tmp_path: Path) -> None:
    with pytest.raises(IncompleteInput, match="holds no finished answers; give a directory"):
        catalogue_of_run(tmp_path)


def test_a_watch_is_a_run_a_step(tmp_path: Path) -> None:
    asked = facts(20)
    for step, right in ((0, 2), (50, 5), (100, 4)):
        write_parquet(tmp_path / f"answers-{step:06d}.parquet", answers(asked, right, "no"))
    assert is_watch(tmp_path)
    found = catalogue_of_watch(tmp_path)
    assert [run.label for run in found.in_order()] == ["step 0", "step 50", "step 100"]
    pair = found.first_pair()
    assert pair is not None
    assert [run.name for run in pair] == ["step 0", "step 50"]
    assert Comparisons(found, Tables()).page(pair, Filters(state=("gained",))).found == 18


def test_the_place_is_chosen_by_the_options(tmp_path: Path) -> None:
    store = build_store(tmp_path / "store", 4)
    opened = open_catalogue(ViewSpec(store=store.url, model=("mine=some/dir", "embedded")))
    assert opened.title == store.url
    assert opened.models["mine"].reference == "some/dir"
    assert opened.models["embedded"].reference == "embedded"
    run = made_up_run.build_run(tmp_path / "run")
    assert "tuned-test" in open_catalogue(ViewSpec(run=run)).runs
    with pytest.raises(BadInput, match="there is no store in"):
        open_catalogue(ViewSpec(store=str(tmp_path / "nowhere")))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("tuned=some/dir",), "'tuned' is there already; give another name"),
        (("mine=a", "mine=b"), "--model mine=b was given, but 'mine' is there already"),
        (("=some/dir",), "--model =some/dir was given; allowed: NAME=MODEL or MODEL"),
        (("mine=",), "--model mine= was given; allowed: NAME=MODEL or MODEL"),
    ],
)
def test_a_further_model_takes_the_place_of_none(
    tmp_path: Path, given: tuple[str, ...], words: str
) -> None:
    run = made_up_run.build_run(tmp_path / "run")
    with pytest.raises(BadInput, match=words):
        open_catalogue(ViewSpec(run=run, model=given))
