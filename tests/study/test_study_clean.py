from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import toy_stages
from sixtyfold.console_study import show_cleaned
from sixtyfold.core.errors import Corrupted
from sixtyfold.study.clean import removed, unneeded
from sixtyfold.study.drive import Driven, drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.plan import Inputs
from sixtyfold.study.spec import StudyCleanSpec
from sixtyfold.study.store import LocalStore

INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("somewhere", "model0")}, frozenset())


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_stages.use(monkeypatch)


def driven(store: LocalStore, sizes: list[int], name: str = "toy", **changed: Any) -> Driven:
    models = [{"name": "m", "model": "somewhere"}]
    grids = [{"name": "g", "select": {"size": sizes}}]
    study = StudyFile.model_validate({"name": name, "models": models, "grids": grids})
    inputs = INPUTS._replace(**changed)
    return drive(study, inputs, store, LocalExecutor(store), lambda _: None)


def test_results_of_an_earlier_file_are_listed_and_removed_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore(tmp_path / "store")
    before = driven(store, [4, 8])
    after = driven(store, [4])
    stale = set(before.plan.jobs) - set(after.plan.jobs)
    found = unneeded(store, after.plan)
    assert {each.job.key for each in found} == stale
    listed = removed(store, found, yes=False)
    assert not listed["removed"].any()
    assert listed["bytes"].min() > 0  # type: ignore[operator]
    assert store.recorded() == set(before.plan.jobs)
    show_cleaned(listed, StudyCleanSpec(file=Path("s.yaml")), silent=False)
    assert "add --yes" in capsys.readouterr().out
    assert removed(store, found, yes=True)["removed"].all()
    assert store.recorded() == set(after.plan.jobs)
    assert unneeded(store, after.plan) == []
    show_cleaned(removed(store, [], yes=True), StudyCleanSpec(file=Path("s.yaml")), silent=False)
    assert "nothing is unneeded" in capsys.readouterr().out


def test_what_another_study_of_the_store_needs_is_kept(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    driven(store, [4, 8], name="other")
    mine = driven(store, [4])
    assert unneeded(store, mine.plan) == []
    (store.root / "studies" / "other" / "cells.parquet").write_bytes(b"half")
    with pytest.raises(Corrupted):
        unneeded(store, mine.plan)


def test_what_somebody_works_on_stays(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    driven(store, [4])
    changed = driven(store, [4], models={"m": Place("somewhere", "model1")})
    found = unneeded(store, changed.plan)
    assert {"probe", "tune"} <= {each.job.stage for each in found}
    with LocalStore(store.root).claim(found[0].job, ()):
        table = removed(store, found, yes=True)
    assert table["removed"].to_list() == [False] + [True] * (len(found) - 1)
    assert store.is_recorded(found[0].job.key)
