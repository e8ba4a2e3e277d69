"""A study of toy stages run by a process of its own: python -m study_driver STORE [SEEDS]."""

from __future__ import annotations

import sys
from pathlib import Path

import toy_stages
from sixtyfold.study.drive import drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.plan import Inputs
from sixtyfold.study.results import results_table
from sixtyfold.study.store import LocalStore

GRID = {
    "name": "g",
    "select": {"size": [4, 8, 12]},
    "tune": {"learning_rate": [1e-5, 3e-5, 1e-4]},
    "choose": "learning_rate",
    "drift": {},
    "diff": {},
}
INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("x", "model0")}, frozenset())


def study(seeds: int) -> StudyFile:
    """Return a study of 9 trainings a seed."""
    models = [{"name": "m", "model": "x"}]
    values = {"name": "toy", "models": models, "seeds": list(range(seeds)), "grids": [GRID]}
    return StudyFile.model_validate(values)


def main(root: Path, seeds: int) -> None:
    """Run it and write its results next to the store."""
    toy_stages.use_everywhere()
    store, file = LocalStore(root), study(seeds)
    driven = drive(file, INPUTS, store, LocalExecutor(store), lambda _: None)
    if driven.failed:
        sys.exit(str(driven.failed))
    results_table(store, file, driven.plan).write_csv(root.with_suffix(".csv"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
