"""A search on a task of one's own: the contents of its folder are part of the job's key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import toy_stages
from sixtyfold.core.errors import BadInput
from sixtyfold.study.file import StudyFile
from sixtyfold.study.inputs import folder_fingerprint
from sixtyfold.study.jobs import Job, Place, make_job
from sixtyfold.study.plan import Inputs, plan_study
from sixtyfold.study.store import LocalStore
from sixtyfold.study.work import spec_of, work


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "task"
    (folder / "data").mkdir(parents=True)
    (folder / "mine.yaml").write_text("task: mine\n")
    (folder / "data" / "mine.jsonl").write_text("{}\n")
    return folder


def searches(folder: Path) -> dict[str, Job]:
    """Return the searches of a study by the task they name."""
    on_task = {"lm_eval_task": "mine", "include_path": str(folder)}
    grid = {"name": "g", "search": [on_task, {"lm_eval_task": "arc_easy"}]}
    models = [{"name": "m", "model": "x"}]
    study = StudyFile.model_validate({"name": "s", "models": models, "grids": [grid]})
    place = Place(str(folder), folder_fingerprint(folder))
    inputs = Inputs(Place("atlas", "f"), {"m": Place("x", "m0")}, frozenset(), {str(folder): place})
    found = plan_study(study, inputs, lambda _: 0.5).jobs.values()
    return {job.options["lm_eval_task"]: job for job in found if job.stage == "search"}


def test_another_yaml_under_the_same_path_is_another_job(task: Path) -> None:
    before = searches(task)
    assert searches(task) == before
    (task / "mine.yaml").write_text("task: mine\nnum_fewshot: 2\n")
    changed = searches(task)
    assert changed["mine"].key != before["mine"].key
    assert changed["arc_easy"].key == before["arc_easy"].key


def test_the_same_folder_elsewhere_is_the_same_job(task: Path, tmp_path: Path) -> None:
    before = searches(task)["mine"].key
    assert searches(task.rename(tmp_path / "moved"))["mine"].key == before


def test_names_and_contents_count_and_what_python_leaves_does_not(task: Path) -> None:
    before = folder_fingerprint(task)
    (task / "__pycache__").mkdir()
    (task / "__pycache__" / "utils.pyc").write_bytes(b"code")
    assert folder_fingerprint(task) == before
    (task / "data" / "mine.jsonl").rename(task / "mine.jsonl")
    assert folder_fingerprint(task) != before
    with pytest.raises(BadInput, match=r"there is no folder .*none"):
        folder_fingerprint(task / "none")


def test_a_job_without_a_folder_has_the_key_it_always_had() -> None:
    reads = {"base": Place("x", "m0"), "tuned": "0123456789abcdef"}
    assert make_job("search", {"lm_eval_task": "arc_easy"}, reads).key == "dde27d23316644f4"


def test_a_folder_that_changes_while_it_is_read_is_refused(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search_and_edit(spec: Any) -> Any:
        assert str(spec.include_path) == str(task)
        made = whole(spec)
        (task / "mine.yaml").write_text("task: mine\nnum_fewshot: 2\n")
        return made

    toy_stages.use(monkeypatch)
    whole = toy_stages.search
    monkeypatch.setattr(toy_stages, "search", search_and_edit)
    store = LocalStore(tmp_path / "store")
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "right.json").write_text("3")
    options = {"lm_eval_task": "mine"}
    places = {"base": Place("x", "m0"), "include_path": Place(str(task), folder_fingerprint(task))}
    job = make_job("search", options, {**places, "tuned": Place(str(tmp_path / "tuned"), "m1")})
    assert spec_of(job, {}, store).recorded()["include_path"] == str(task)
    outcome = work(job, {}, store)
    assert outcome.state == "failed"
    assert "task was " in outcome.message
    assert not store.is_recorded(job.key)
