from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sixtyfold.core.errors import BadInput
from sixtyfold.study import run as study_run
from sixtyfold.study.estimate import supply
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.kinds import kind_of
from sixtyfold.study.plan import Inputs, Plan, plan_study
from sixtyfold.study.run import whole_plan
from sixtyfold.study.spec import StudyRunSpec
from sixtyfold.study.store import LocalStore

MODELS = {"small": Place("here", "model0"), "large": Place("there", "model1")}


def made_up(models: tuple[str, ...] = ("small",), **values: Any) -> tuple[StudyFile, Inputs]:
    entries = [{"name": name, "model": MODELS[name].reference} for name in models]
    study = StudyFile.model_validate({"name": "s", "models": entries, **values})
    inputs = {name: MODELS[name] for name in models}
    return study, Inputs(Place("atlas", "facts0"), inputs, frozenset())


def planned(models: tuple[str, ...] = ("small",), **values: Any) -> Plan:
    return plan_study(*made_up(models, **values), lambda _: 0.5)


def test_a_grid_has_several_searches_and_one_on_a_task_reads_no_facts() -> None:
    grid = {"name": "g", "search": [{"top": [5]}, {"lm_eval_task": "arc_easy"}, {"top": [9]}]}
    shared = {"match": "paper", "device": "cpu", "max_new_tokens": 8}
    found = planned(shared=shared, evaluate={"shots": 4, "batch": 2}, grids=[grid])
    (cell,) = (cell for cell in found.cells if "tune" in cell.jobs)
    on_facts, on_task = (found.jobs[cell.jobs[role]] for role in ("search", "search-2"))
    assert set(on_facts.reads) == {"base", "tuned", "facts", "probe"}
    own = {"top": [5], "checkpoint": False, "batch": 2}
    assert on_facts.options == {**shared, **own}, "as evaluate asks, where search can"
    assert set(on_task.reads) == {"base", "tuned"}
    own = {"lm_eval_task": "arc_easy", "checkpoint": False}
    assert on_task.options == {"device": "cpu", **own}
    assert len({cell.jobs[role] for role in ("search", "search-2", "search-3")}) == 3


def test_a_training_is_told_by_its_defaults_too() -> None:
    grids = [{"name": "papers", "tune": {"preset": "ye2025"}}, {"name": "plain"}]
    labels = [cell.labels for cell in planned(grids=grids).cells if "tune" in cell.jobs]
    assert [each["learning_rate"] for each in labels] == [1e-5, 1e-4]
    assert [(each["size"], each["levels"]) for each in labels] == [("60", "natural")] * 2


def test_what_follows_from_a_choice_is_checked_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune = {"learning_rate": [1e-5, 1e-4]}
    grid: dict[str, Any] = {"name": "g", "tune": tune, "choose": "learning_rate"}
    values = {"name": "s", "store": str(tmp_path / "store"), "probe": None}
    grid["search"] = {"objective": "knowledge"}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({**values, "grids": [grid]}))
    inputs = Inputs(Place("atlas", "facts0"), {"embedded": MODELS["small"]}, frozenset())
    monkeypatch.setattr(study_run, "find_inputs", lambda _: inputs)
    with pytest.raises(BadInput, match=r"search: --objective knowledge.*give --probe"):
        study_run.run(StudyRunSpec(file=tmp_path / "s.yaml"))
    assert not (tmp_path / "store").exists()


def test_the_whole_plan_has_what_follows_from_open_choices() -> None:
    grid = {"name": "g", "tune": {"learning_rate": [1e-5, 1e-4]}, "choose": "learning_rate"}
    grid |= {"own": True, "drift": {}, "search": [{}, {"top": [9]}]}
    study, inputs = made_up(grids=[grid], seeds=[0, 1])
    known, whole = plan_study(study, inputs, lambda _: None), whole_plan(study, inputs)
    assert set(known.jobs) < set(whole.jobs)
    # for each seed: test, own, compare, drift, two searches
    assert len(whole.jobs) - len(known.jobs) == 2 * 6


def test_jobs_of_other_sizes_and_models_are_of_another_kind() -> None:
    grid = {"name": "g", "select": {"size": [60, 1920]}, "tune": {"learning_rate": [1e-5, 1e-4]}}
    plan = planned(("small", "large"), grids=[grid], seeds=[0, 1])
    kinds: dict[str, set[str]] = {}
    for job in plan.jobs.values():
        kinds.setdefault(job.stage, set()).add(kind_of(job, plan.jobs))
    assert len(kinds["tune"]) == 4  # models, sizes
    assert len(kinds["probe"]) == 2
    assert len(kinds["evaluate"]) == 8  # models, dev and test, plain (base or tuned) or 4 examples


def test_supply_is_told_of_every_set_that_can_be_looked_at(tmp_path: Path) -> None:
    found = supply(LocalStore(tmp_path / "store"), planned(grids=[{"name": "g"}]), set())
    assert found == ["levels are not known before the probe is done"]


def test_a_grid_has_seeds_of_its_own_and_shares_trainings() -> None:
    grids = [{"name": "few"}, {"name": "many", "seeds": [1, 0, 5]}]
    found = planned(seeds=[0, 1], grids=grids)
    trained = {
        (cell.labels["grid"], cell.labels["seed"]): cell.jobs["tune"]
        for cell in found.cells
        if "tune" in cell.jobs
    }
    assert [seed for name, seed in trained if name == "few"] == [0, 1]
    assert [seed for name, seed in trained if name == "many"] == [1, 0, 5]
    assert trained["few", 1] == trained["many", 1]
    assert len(set(trained.values())) == 3
    for seeds in ([], [3, 3]):
        with pytest.raises(ValueError, match="one or more different whole numbers"):
            planned(grids=[{"name": "none", "seeds": seeds}])
