"""Status of a study, lines of a run, and what a run does about leftovers and changed inputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import toy_stages
from sixtyfold.console_study import show_status
from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.stage import open_stage
from sixtyfold.study import run as study_run
from sixtyfold.study.drive import Driven, drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place, make_job
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.plan import Inputs, plan_study
from sixtyfold.study.run import SomeFailed
from sixtyfold.study.spec import StudyRunSpec, StudyStatusSpec
from sixtyfold.study.status import Status, status_of
from sixtyfold.study.store import LocalStore
from sixtyfold.study.work import spec_of, work

INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("somewhere", "model0")}, frozenset())
GRID = {"name": "g", "select": {"size": [4, 8]}, "drift": {}}


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_stages.use(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def made_up(**changed: Any) -> StudyFile:
    models = [{"name": "m", "model": "somewhere"}]
    values = {"name": "toy", "models": models, "seeds": [0, 1], "grids": [GRID], **changed}
    return StudyFile.model_validate(values)


def driven(store: LocalStore, study: StudyFile | None = None) -> tuple[Driven, list[str]]:
    told: list[str] = []
    done = drive(study or made_up(), INPUTS, store, LocalExecutor(store), told.append)
    return done, told


def status(store: LocalStore, inputs: Inputs = INPUTS) -> Status:
    return status_of(store, plan_study(made_up(), inputs, lambda _: 0.5), inputs)


def test_a_line_says_cell_time_and_time_left(store: LocalStore) -> None:
    done, told = driven(store)
    assert len(told) == len(done.plan.jobs)
    count = len(told)
    lines = "\n".join(told)
    asked = "evaluate: test, g, size 4, levels natural, learning_rate 0.0001, seed 0;"
    assert any(asked in line for line in told)
    assert re.match(r"2/\d+ probe; ", told[1])
    time = r"\d+\.\d s"
    assert re.search(rf"\d+/{count} tune: g, size 8, levels natural, learning_rate 0.0001, seed 1;",
                     lines)  # fmt: skip
    assert re.search(rf"drift: .*; {time}; (at least )?{time} left$", lines, re.MULTILINE)
    assert re.fullmatch(rf"{count}/{count} \w+: .*; {time}", told[-1])


def test_failures_are_kept_with_their_reason_until_the_job_is_done(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(spec: Any) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(toy_stages, "drift", fail)
    _, told = driven(store)
    found = status(store)
    assert len(found.failed) == 4
    assert {each.reason for each in found.failed} == {"ZeroDivisionError: of all things"}
    assert found.failed[0].cell.startswith("g, size 4, levels natural")
    drift = found.stages.filter(stage="drift").row(0, named=True)
    assert drift == {"stage": "drift", "jobs": 4, "done": 0, "running": 0, "failed": 4, "left": 4}
    assert any("drift" in line and "(g, size 8" in line and "failed" in line for line in told)
    shown = show_status(found, StudyStatusSpec(file=Path("s.yaml")), silent=False)
    assert "failed: drift" in capsys.readouterr().out
    json.dumps(shown)
    monkeypatch.undo()
    toy_stages.use(monkeypatch)
    driven(store)
    assert status(store).failed == []
    assert not list((store.root / "failures").iterdir())


def test_what_runs_is_told(store: LocalStore) -> None:
    job = make_job("facts", {}, {"facts": INPUTS.facts})
    with LocalStore(store.root).claim(job, ()):
        found = status(store)
        assert [each.key for each in found.running] == [job.key]
        assert found.stages.filter(stage="facts").row(0)[2:] == (0, 1, 0, 0)
    assert status(store).running == []


def test_results_of_other_versions_and_of_earlier_weights_are_told(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, _ = driven(store)
    assert status(store).other_versions == {}
    path = store.root / "records" / f"{next(iter(done.done))}.json"
    record = json.loads(path.read_text())
    record["packages"]["torch"] = "1.0"
    path.write_text(json.dumps(record))
    assert status(store).other_versions == {"torch 1.0": 1}
    changed = INPUTS._replace(models={"m": Place("somewhere", "model1")})
    reading = [job for job in done.plan.jobs.values() if INPUTS.models["m"] in job.reads.values()]
    assert status(store, changed).other_inputs == {"m": len(reading)}
    assert status(store).other_inputs == {}


@pytest.mark.parametrize("left", ["of other inputs", "unreadable plan", "unreadable part"])
def test_what_a_killed_run_left_is_no_obstacle(
    left: str, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe_in_parts(spec: Any) -> Any:
        with open_stage("probe", spec, {}) as stage:
            if stage.has_part("rows", 0):
                stage.read_part("rows", 0)
        return whole(spec)

    whole = toy_stages.probe
    monkeypatch.setattr(toy_stages, "probe", probe_in_parts)
    facts = make_job("facts", {}, {"facts": INPUTS.facts})
    probe = make_job("probe", {}, {"model": INPUTS.models["m"], "facts": facts.key})
    assert work(facts, {}, store).state == "done"
    spec = spec_of(probe, {facts.key: facts}, store)
    inputs = {"model": "before"} if left == "of other inputs" else {}
    with open_stage("probe", spec, inputs) as stage:
        stage.parts.mkdir()
        (stage.parts / "rows-00000.parquet").write_bytes(b"half of a")
    if left == "unreadable plan":
        (spec.out / "plan.json").write_text('{"st')
    outcome = work(probe, {facts.key: facts}, store)
    assert outcome.state == "done", outcome
    assert not (spec.out / "parts").exists()


def test_a_model_that_changed_since_the_plan_is_refused(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe_of_another(spec: Any) -> Any:
        with open_stage("probe", spec, {"model": "model1"}) as stage:
            return stage.finish({})

    monkeypatch.setattr(toy_stages, "probe", probe_of_another)
    done, _ = driven(store)
    ((key, why),) = done.failed.items()
    assert done.plan.jobs[key].stage == "probe"
    assert why.startswith("somewhere was model0 when the study was planned and was model1 when")
    assert not store.place(done.plan.jobs[key]).exists()


def test_a_choice_that_cannot_be_made_is_an_error(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def out_of_domain(spec: Any) -> Any:
        row = dict.fromkeys(ANSWERS_SCHEMA) | {"fact_id": "f", "relation": "r", "domain": "out"}
        table = pl.DataFrame([row | {"hit": True}], schema=ANSWERS_SCHEMA)
        return toy_stages._write("evaluate", spec, {"answers": table})

    monkeypatch.setattr(toy_stages, "evaluate", out_of_domain)
    monkeypatch.setattr(study_run, "find_inputs", lambda _: INPUTS)
    file = tmp_path / "s.yaml"
    rates = {"tune": {"learning_rate": [1e-4, 1e-5]}, "choose": "learning_rate"}
    grids = json.dumps([{"name": "g", "select": {"size": 4}, **rates}])
    text = f"name: toy\nstore: {store.root}\nmodels: [{{name: m, model: somewhere}}]\n"
    file.write_text(f"{text}base: false\ngrids: {grids}\n")
    with pytest.raises(SomeFailed, match=r"evaluate \w+: its dev facts are all out of domain"):
        study_run.run(StudyRunSpec(file=file), tell=lambda _: None)


def test_weights_left_by_a_killed_removal_are_removed(store: LocalStore) -> None:
    done, _ = driven(store)
    tune = next(job for job in done.plan.jobs.values() if job.stage == "tune")
    (store.place(tune) / "model.safetensors").write_bytes(b"weights")  # its manifest is gone
    driven(LocalStore(store.root))
    assert not list(store.root.rglob("*.safetensors"))


def test_a_checkpoint_made_twice_by_other_versions_is_whole(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    driven(store, made_up(grids=[{"name": "g", "select": {"size": 4}}]))
    longer = {"sixtyfold": "0.0.0+of.another.day"}
    monkeypatch.setattr("sixtyfold.core.stage.package_versions", lambda: longer)
    _, told = driven(LocalStore(store.root))
    assert any(" tune: " in line for line in told), "drift wants the weights again"
    _, told = driven(LocalStore(store.root))
    assert told == []


@pytest.mark.parametrize("same", [True, False])
def test_weights_that_were_made_again_otherwise_are_told(
    same: bool, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tune_otherwise(spec: Any) -> Any:
        made = whole(spec)
        (spec.out / "model.safetensors").write_bytes(b"weights" * 100 if same else b"others")
        return made

    whole = toy_stages.tune
    driven(store, made_up(grids=[{"name": "g", "select": {"size": 4}}]))
    monkeypatch.setattr(toy_stages, "tune", tune_otherwise)
    driven(store)  # drift wants the weights again
    found = status(store).other_weights
    assert [each.stage for each in found] == ([] if same else ["tune", "tune"])


def test_addresses_hold_in_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert LocalStore(Path("store")).url == str(tmp_path / "store")
