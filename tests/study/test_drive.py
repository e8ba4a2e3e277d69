from __future__ import annotations

import json
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import toy_stages
from sixtyfold.study.drive import Driven, drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.plan import Inputs
from sixtyfold.study.results import results_table
from sixtyfold.study.store import LocalStore
from sixtyfold.study.work import Outcome

INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("somewhere", "model0")}, frozenset())
GRID = {
    "name": "sizes",
    "select": {"size": [4, 8]},
    "tune": {"learning_rate": [1e-5, 3e-5, 1e-4]},
    "choose": "learning_rate",
    "drift": {},
    "diff": {},
    "search": {},
}


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_stages.use(monkeypatch)


def made_up(**changed: Any) -> StudyFile:
    models = [{"name": "m", "model": "somewhere"}]
    values = {"name": "toy", "models": models, "seeds": [0, 1], "grids": [GRID], **changed}
    return StudyFile.model_validate(values)


def driven(study: StudyFile, store: LocalStore, inputs: Inputs = INPUTS) -> Driven:
    return drive(study, inputs, store, LocalExecutor(store), lambda _: None)


def table(study: StudyFile, store: LocalStore, done: Driven) -> pl.DataFrame:
    return results_table(store, study, done.plan)


def started(store: LocalStore) -> Counter[str]:
    return Counter(str(each["key"]) for each in store.events() if each["event"] == "started")


def test_every_job_is_done_once_and_the_best_rate_is_asked_on_test(tmp_path: Path) -> None:
    store, study = LocalStore(tmp_path / "store"), made_up()
    done = driven(study, store)
    assert not done.failed
    assert done.done == set(done.plan.jobs)
    assert set(started(store).values()) == {1}
    trained = [cell for cell in done.plan.cells if "tune" in cell.jobs]
    assert len(trained) == 2 * 3 * 2
    # toy accuracy grows with the rate as long as seed + size + rate stays below the 20 facts
    best = {cell.labels["learning_rate"] for cell in trained if cell.chosen}
    assert best == {1e-4}
    for cell in trained:
        asked = {"test", "drift", "diff", "search"} & set(cell.jobs)
        assert asked == ({"test", "drift", "diff", "search"} if cell.chosen else set())
        assert ("compare" in cell.jobs) == cell.chosen


def test_one_probe_a_model_and_one_selection_a_seed_and_size(tmp_path: Path) -> None:
    done = driven(made_up(), LocalStore(tmp_path / "store"))
    counted = Counter(job.stage for job in done.plan.jobs.values())
    assert counted == {
        "facts": 1, "probe": 1, "select": 4, "tune": 12,
        "evaluate": 2 * 2 + 12 + 4, "drift": 4, "diff": 4, "search": 4, "compare": 4,
    }  # fmt: skip


def test_a_finished_study_does_nothing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    before = driven(made_up(), store)
    events = len(store.events())
    after = driven(made_up(), LocalStore(tmp_path / "store"))
    assert len(store.events()) == events
    assert table(made_up(), store, after).equals(table(made_up(), store, before))


def test_another_axis_value_reuses_what_is_done(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    first = driven(made_up(), store)
    more = made_up(grids=[{**GRID, "select": {"size": [4, 8, 12]}}])
    second = driven(more, store)
    assert set(first.plan.jobs) < set(second.plan.jobs)
    assert set(started(store).values()) == {1}


def test_a_changed_model_under_the_same_name_is_another_study(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    first = driven(made_up(), store)
    changed = INPUTS._replace(models={"m": Place("somewhere", "model1")})
    second = driven(made_up(), store, changed)
    shared = {first.plan.jobs[key].stage for key in set(first.plan.jobs) & set(second.plan.jobs)}
    assert shared == {"facts"}


def test_weights_are_removed_when_nothing_needs_them(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    done = driven(made_up(), store)
    assert not list(store.root.rglob("*.safetensors"))
    assert all(not store.has_files(job) for job in done.plan.jobs.values() if job.stage == "tune")


def test_weights_that_were_removed_are_made_again_when_they_are_needed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    plain = {name: value for name, value in GRID.items() if name != "diff"}
    driven(made_up(grids=[plain]), store)
    done = driven(made_up(), store)
    assert not done.failed
    again = {key for key, count in started(store).items() if count > 1}
    chosen = {cell.jobs["tune"] for cell in done.plan.cells if cell.chosen and "tune" in cell.jobs}
    assert again == chosen


def test_kept_checkpoints_stay(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    done = driven(made_up(keep_checkpoints=True), store)
    tuned = [job for job in done.plan.jobs.values() if job.stage == "tune"]
    assert len(list(store.root.rglob("*.safetensors"))) == len(tuned)


@pytest.mark.parametrize(
    ("stage", "name"), [("evaluate", "answers.parquet"), ("probe", "numbers.parquet")]
)
@pytest.mark.parametrize("how", ["truncated", "removed", "overwritten"])
def test_a_damaged_result_is_named_and_made_again(
    stage: str, name: str, how: str, tmp_path: Path
) -> None:
    store, study = LocalStore(tmp_path / "store"), made_up()
    before = driven(study, store)
    expected = table(study, store, before)
    job = next(job for job in before.plan.jobs.values() if job.stage == stage)
    path = store.place(job) / name
    contents = path.read_bytes()
    {
        "truncated": lambda: path.write_bytes(contents[:-7]),
        "removed": path.unlink,
        "overwritten": lambda: path.write_bytes(bytes(1 + len(contents))),
    }[how]()
    told: list[str] = []
    again = LocalStore(tmp_path / "store")
    done = drive(study, INPUTS, again, LocalExecutor(again), told.append)
    assert any(name in line and job.key in line and "made again" in line for line in told)
    assert started(store)[job.key] == 2
    assert table(study, store, done).equals(expected)


def test_unreadable_numbers_of_a_choice_are_made_again(tmp_path: Path) -> None:
    store, study = LocalStore(tmp_path / "store"), made_up()
    before = driven(study, store)
    expected = table(study, store, before)
    cell = next(cell for cell in before.plan.cells if "tune" in cell.jobs)
    path = store.place(before.plan.jobs[cell.jobs["dev"]]) / "numbers.parquet"
    path.write_bytes(bytes(path.stat().st_size))  # as large as before
    again = LocalStore(tmp_path / "store")
    done = driven(study, again)
    assert not done.failed
    assert started(store)[cell.jobs["dev"]] == 2
    assert table(study, store, done).equals(expected)


@pytest.mark.parametrize("change", [{"format": 0}, {"format": None}, {}])
def test_a_record_of_another_version_is_named_and_made_again(
    change: dict[str, Any], tmp_path: Path
) -> None:
    store, study = LocalStore(tmp_path / "store"), made_up()
    job = next(job for job in driven(study, store).plan.jobs.values() if job.stage == "diff")
    path = tmp_path / "store" / "records" / f"{job.key}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change} if change else []))
    told: list[str] = []
    again = LocalStore(tmp_path / "store")
    done = drive(study, INPUTS, again, LocalExecutor(again), told.append)
    assert not done.failed
    assert any(f"diff {job.key} is made again" in line for line in told)


def test_a_failing_job_ends_only_what_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(spec: Any) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(toy_stages, "drift", fail)
    store = LocalStore(tmp_path / "store")
    done = driven(made_up(), store)
    assert {done.plan.jobs[key].stage for key in done.failed} == {"drift"}
    assert len(done.failed) == 4
    assert len(done.done) == len(done.plan.jobs) - 4
    line = next(iter(done.failed.values()))
    assert line.startswith("ZeroDivisionError: of all things (details: ")
    assert "Traceback" in Path(line.split("details: ")[1].rstrip(")")).read_text()
    monkeypatch.undo()
    toy_stages.use(monkeypatch)
    assert not driven(made_up(), store).failed


class _Slow(LocalExecutor):
    """Lets another driver go on before each job."""

    def __init__(self, store: LocalStore, turn: threading.Barrier) -> None:
        super().__init__(store)
        self.turn = turn

    def finished(self) -> Outcome:
        try:
            self.turn.wait(timeout=0.05)
        except threading.BrokenBarrierError:
            self.turn.reset()
        return super().finished()


def test_two_drivers_share_a_store(tmp_path: Path) -> None:
    study, turn = made_up(), threading.Barrier(2)
    found: list[Driven] = []

    def one() -> None:
        store = LocalStore(tmp_path / "store")
        found.append(drive(study, INPUTS, store, _Slow(store, turn), lambda _: None))

    both = [threading.Thread(target=one) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(found) == 2
    assert all(not each.failed and each.done == set(each.plan.jobs) for each in found)
    store = LocalStore(tmp_path / "store")
    assert set(started(store).values()) == {1}
