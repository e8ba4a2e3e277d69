"""Several studies in one store: names, kept weights, what is damaged or left over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fsspec.implementations.memory import MemoryFileSystem

import toy_stages
from sixtyfold.console_study import show_status
from sixtyfold.core.errors import BadInput, Corrupted, SixtyfoldError
from sixtyfold.study import run as study_run
from sixtyfold.study import stages
from sixtyfold.study.any_store import Store
from sixtyfold.study.clean import removed, unneeded
from sixtyfold.study.jobs import Job, Place
from sixtyfold.study.open_store import open_store
from sixtyfold.study.plan import Inputs
from sixtyfold.study.remote_files import RemoteFiles
from sixtyfold.study.spec import StudyCleanSpec, StudyRunSpec, StudyStatusSpec

INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("somewhere", "model0")}, frozenset())


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    toy_stages.use(monkeypatch)
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(study_run, "find_inputs", lambda _: INPUTS)
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(params=["{}/store", "memory://bucket/place"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param).format(tmp_path)


def written(file: Path, url: str, sizes: list[int], name: str = "toy", **changed: Any) -> Path:
    grids = [{"name": "g", "select": {"size": sizes}, "drift": {}}]
    models = [{"name": "m", "model": "somewhere"}]
    values = {"name": name, "store": url, "models": models, "grids": grids, **changed}
    file.write_text(yaml.safe_dump(values))
    return file


def ran(file: Path, **options: Any) -> tuple[dict[str, Job], list[str]]:
    """Run a study; return its jobs and what it said."""
    said: list[str] = []
    done = study_run.run(StudyRunSpec(file=file, **options), said.append)
    return done.plan.jobs, said


def trainings(jobs: dict[str, Job]) -> list[Job]:
    return [job for job in jobs.values() if job.stage == "tune"]


def damage(url: str, store: Store, job: Job, file: str) -> None:
    """Change a file of a result without changing its size."""
    if "://" not in url:
        path = store.place(job) / file
        path.write_bytes(bytes(path.stat().st_size))
        return
    files = RemoteFiles(url)
    (name,) = (n for n in files.sizes(f"results/{job.stage}/{job.key}") if n.endswith(f"/{file}"))
    files.write(name, bytes(len(files.read(name))))


def test_a_grown_a_moved_and_a_copied_file_are_the_same_study(url: str, tmp_path: Path) -> None:
    file = written(tmp_path / "s.yaml", url, [4])
    ran(file)
    ran(written(file, url, [4, 8]))
    ran(written(file, url, [8]))  # its own file may also lose what it had
    copied = written(tmp_path / "copied.yaml", url, [8])
    ran(copied)
    ran(written(copied, url, [8, 12]))
    file.unlink()
    moved = written(tmp_path / "moved.yaml", url, [12])
    copied.unlink()
    jobs, said = ran(moved)
    assert len(trainings(jobs)) == 1
    assert any("results of toy as " in line and "study clean" in line for line in said)


def test_two_files_with_one_name_are_refused_until_one_takes_the_place(
    url: str, tmp_path: Path
) -> None:
    one = written(tmp_path / "one.yaml", url, [4])
    first, _ = ran(one)
    two = written(tmp_path / "two.yaml", url, [8])
    with pytest.raises(BadInput, match=r"two\.yaml and .*one\.yaml both describe .* named toy"):
        ran(two)
    with pytest.raises(BadInput, match="both describe"):
        study_run.clean(StudyCleanSpec(file=two, yes=True))
    store = open_store(url)
    assert set(first) <= store.recorded()
    said = one.read_text()
    one.write_text("${NOT_SET_HERE}")
    with pytest.raises(BadInput, match="both describe"):
        ran(two)
    one.write_text(said)
    ran(two, instead=True)
    ran(two)
    with pytest.raises(BadInput, match=r"one\.yaml and .*two\.yaml both describe"):
        ran(one)
    ran(written(one, url, [4], name="other"))


def test_what_one_study_keeps_no_other_removes(url: str, tmp_path: Path) -> None:
    keeping = written(tmp_path / "a.yaml", url, [4], name="a", keep_checkpoints=True)
    kept, _ = ran(keeping)
    more, _ = ran(written(tmp_path / "b.yaml", url, [4, 8], name="b"))
    study_run.clean(StudyCleanSpec(file=tmp_path / "b.yaml", yes=True))
    store = open_store(url)
    assert all(store.has_weights(job) for job in trainings(kept))
    assert sum(store.holds_weights(job) for job in trainings(more)) == len(trainings(kept)) == 1
    ran(written(keeping, url, [4], name="a"))  # it keeps nothing any more
    assert not any(open_store(url).holds_weights(job) for job in trainings(more))


def test_what_an_unfinished_study_still_reads_no_other_removes(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drift = stages.STAGES["drift"]
    unfinished = written(tmp_path / "a.yaml", url, [4, 8], name="a")
    with monkeypatch.context() as patched:
        patched.setitem(stages.STAGES, "drift", drift._replace(function="toy_stages:failing"))
        with pytest.raises(SixtyfoldError, match="failed"):
            ran(unfinished)
    grids = [{"name": "g", "select": {"size": [4, 12]}}]
    other, _ = ran(written(tmp_path / "b.yaml", url, [], name="b", grids=grids))
    left = [job.key for job in trainings(other) if open_store(url).holds_weights(job)]
    jobs, said = ran(unfinished)
    assert {job.key for job in trainings(jobs)} & {job.key for job in trainings(other)} == {*left}
    assert len(left) == 1
    assert not [line for line in said if " tune: " in line]
    assert not any(open_store(url).holds_weights(job) for job in trainings(jobs))


def cells_damaged(url: str, name: str) -> None:
    file = f"studies/{name}/cells.parquet"
    if "://" in url:
        RemoteFiles(url).write(file, b"no table")
    else:
        (Path(url) / file).write_bytes(b"no table")


def test_weights_stay_while_what_another_study_needs_is_damaged(url: str, tmp_path: Path) -> None:
    keeping = written(tmp_path / "a.yaml", url, [4], name="a", keep_checkpoints=True)
    kept, _ = ran(keeping)
    cells_damaged(url, "a")
    other = written(tmp_path / "b.yaml", url, [4, 8, 12], name="b")
    jobs, said = ran(other)
    assert sum("studies/a/cells.parquet of the store is damaged" in line for line in said) == 1
    assert all(open_store(url).holds_weights(job) for job in trainings(jobs))
    with pytest.raises(Corrupted, match=r"study a needs: .*a.cells\.parquet"):
        study_run.clean(StudyCleanSpec(file=other, yes=True))
    ran(keeping)  # makes its table of cells again
    ran(other)
    left = {job.key for job in trainings(jobs) if open_store(url).holds_weights(job)}
    assert left == {job.key for job in trainings(kept)}


def test_another_file_does_not_take_the_name_of_a_study_whose_cells_are_damaged(
    url: str, tmp_path: Path
) -> None:
    ran(written(tmp_path / "one.yaml", url, [4]))
    cells_damaged(url, "toy")
    two = written(tmp_path / "two.yaml", url, [4])
    with pytest.raises(BadInput, match=r"unknown number of results of the latter"):
        ran(two)
    _, said = ran(two, instead=True)
    assert any("an unknown number of results of toy" in line for line in said)


def half_removed(url: str, store: Store, job: Job) -> None:
    """Leave weights without a manifest, as a kill in the middle of a removal does."""
    if "://" not in url:
        (store.place(job) / "model.safetensors").write_bytes(b"weights")
        return
    RemoteFiles(url).write(f"results/tune/{job.key}/0123456789abcdef/model.safetensors", b"weights")


def test_clean_finds_half_removed_weights(url: str, tmp_path: Path) -> None:
    file = written(tmp_path / "s.yaml", url, [4])
    jobs, _ = ran(file)
    (job,) = trainings(jobs)
    half_removed(url, open_store(url), job)
    store = open_store(url)
    plan = study_run.open_study(StudyStatusSpec(file=file)).plan
    found = unneeded(store, plan)
    assert [(each.job.key, each.bytes) for each in found] == [(job.key, len(b"weights"))]
    assert removed(store, found, yes=True)["removed"].to_list() == [True]
    again = open_store(url)
    assert unneeded(again, plan) == []
    assert again.is_recorded(job.key)


def test_a_run_removes_half_removed_weights(url: str, tmp_path: Path) -> None:
    file = written(tmp_path / "s.yaml", url, [4])
    jobs, _ = ran(file)
    (job,) = trainings(jobs)
    half_removed(url, open_store(url), job)
    ran(file)
    assert not open_store(url).holds_weights(job)


def test_damage_of_equal_size_is_found_when_asked_for(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "s.yaml", url, [4], keep_checkpoints=True)
    jobs, _ = ran(file)
    drift = next(job for job in jobs.values() if job.stage == "drift")
    (tune,) = trainings(jobs)
    damage(url, open_store(url), drift, "drift_summary.parquet")
    damage(url, open_store(url), tune, "model.safetensors")
    assert study_run.status(StudyStatusSpec(file=file)).damaged is None
    found = study_run.status(StudyStatusSpec(file=file, verify=True))
    assert found.damaged is not None
    assert {each.key for each in found.damaged} == {drift.key, tune.key}
    assert "does not hold what was written" in found.damaged[0].reason
    show_status(found, StudyStatusSpec(file=file), silent=False)
    assert "'sixtyfold study run --verify' makes" in capsys.readouterr().out
    _, said = ran(file)
    assert said == []
    _, said = ran(file, verify=True)
    assert sum("made again" in line for line in said) == 2
    found = study_run.status(StudyStatusSpec(file=file, verify=True))
    assert found.damaged == []
    show_status(found, StudyStatusSpec(file=file), silent=False)
    assert "every file was read and holds what was written" in capsys.readouterr().out
