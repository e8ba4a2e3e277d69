"""Hours of a plan: from what recorded jobs took, else from what the stages say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import toy_stages
from sixtyfold.study.drive import drive
from sixtyfold.study.estimate import _Costs
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Job, Place
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.plan import Inputs, plan_study
from sixtyfold.study.store import LocalStore
from sixtyfold.study.trainings_elsewhere import TrainingsElsewhere

MODELS = {"m": Place("x", "m0"), "n": Place("y", "n0")}
TOOK = {15: 6.0, 240: 28.0}
"""Seconds of trainings: a start of 4, then 0.8 a step of 8 examples."""


def study(
    sizes: list[int], models: tuple[str, ...] = ("m",), **changed: Any
) -> tuple[StudyFile, Inputs]:
    entries = [{"name": name, "model": MODELS[name].reference} for name in models]
    grids = [{"name": "g", "select": {"size": sizes}, "diff": {}}]
    values = {"name": "s", "models": entries, "grids": grids, **changed}
    inputs = Inputs(Place("a", "f"), {name: MODELS[name] for name in models}, frozenset())
    return StudyFile.model_validate(values), inputs


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """A store with trainings of 15 and 240 examples that took as long as `TOOK` says."""
    toy_stages.use(monkeypatch)
    made = LocalStore(tmp_path / "store")
    file, inputs = study(sorted(TOOK))
    done = drive(file, inputs, made, LocalExecutor(made), lambda _: None)
    jobs = done.plan.jobs
    taken = {
        job.key: TOOK[int(jobs[str(job.reads["selection"])].options["size"])]
        for job in jobs.values()
        if job.stage == "tune"
    }
    others = {job.key: 2.5 for job in jobs.values() if job.stage == "diff"}
    record = made.record
    monkeypatch.setattr(
        made, "record", lambda key: record(key)._replace(seconds=({**taken, **others}).get(key, 1))
    )
    return made


def seconds(
    store: LocalStore, sizes: list[int], model: str = "m", **changed: Any
) -> dict[str, list[Any]]:
    """Return what is expected of the jobs left, by stage; stages say 1/100 s an example."""

    def told(job: Job) -> dict[str, Any]:
        if job.stage == "diff":
            return {}
        selection = job.reads.get("selection")
        size = int(plan.jobs[str(selection)].options["size"]) if selection else 0
        return {"estimated_seconds": size / 100, "steps": size}

    file, inputs = study(sizes, (model,), **changed)
    plan = plan_study(file, inputs, lambda _: 0.5)
    recorded = store.recorded()
    costs = _Costs(file, store, plan, [job for job in plan.jobs.values() if job.key in recorded])
    costs.ask = told  # type: ignore[method-assign]
    found: dict[str, list[Any]] = {}
    for job in plan.jobs.values():
        if job.key not in recorded:
            found.setdefault(job.stage, []).append(costs.of(job).seconds)
    return found


def test_without_recorded_jobs_it_is_what_the_stage_says(store: LocalStore) -> None:
    found = seconds(store, [60, 240], "n")
    assert found["tune"] == [0.6, 2.4]
    assert found["diff"] == [None, None]


def test_recorded_jobs_of_the_model_beat_what_the_stage_says(store: LocalStore) -> None:
    found = seconds(store, [15, 240, 480])
    assert found["tune"] == [pytest.approx(2 * TOOK[240])]  # as far off as for 240, not for 15
    assert found["diff"] == [2.5]


def test_trainings_of_other_studies_of_the_store_count(store: LocalStore) -> None:
    elsewhere = TrainingsElsewhere(store)
    # a toy training makes as many steps as it has examples
    assert elsewhere.seconds("x", None, 30) == pytest.approx(2 * TOOK[15])
    assert elsewhere.seconds("x", None, 480) == pytest.approx(2 * TOOK[240])
    assert elsewhere.seconds("x", 16, 480) is None
    assert elsewhere.seconds("y", None, 480) is None


def test_a_study_without_trainings_of_its_own_goes_by_those(store: LocalStore) -> None:
    found = seconds(store, [480], seeds=[7])
    assert found["tune"] == [pytest.approx(2 * TOOK[240])]


def test_the_recorded_job_nearest_in_length_counts(store: LocalStore) -> None:
    assert seconds(store, [15, 30, 240])["tune"] == [pytest.approx(2 * TOOK[15])]
