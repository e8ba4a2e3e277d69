"""Put weights of a study's trainings back and ask again: tables 6 and 11 of arXiv 2509.16596.

    python docs/studies/put_back.py STUDY GRID WORK [--size 240] [--levels natural 0 2]
                                    [--shares 5 20] [--blocks 4] [--limit 600]

STUDY names a file of this folder whose grid GRID is finished. Its chosen trainings are made again
in the directory WORK (the same bytes). From each, the `--shares` percent of weights that changed
most (by relative change) are put back, and each block of `--blocks` layers (0: none) as a whole;
every one of these models is asked the first LIMIT test facts and the training's own examples.
Writes docs/data/STUDY-put_back.parquet after each size and level, whose rows take the place of
those of an earlier run: several processes can share the levels, and a run that was cut short goes
on with those that are left.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from sixtyfold.core.atomic_files import write_parquet
from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.facts import read_table
from sixtyfold.core.stage import Finished
from sixtyfold.core.statistics import mean_and_half_width
from sixtyfold.stages.evaluate.run import run as evaluate
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.stages.restore.run import run as restore
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.stages.tune.run import run as tune
from sixtyfold.stages.tune.spec import TuneSpec
from sixtyfold.study.contrast_numbers import ACCURACY, averages, measured
from sixtyfold.study.plan import Cell
from sixtyfold.study.run import Opened, open_study
from sixtyfold.study.spec import StudySpec

HERE = Path(__file__).parent
TUNED = "nothing"
LABELS = ("model", "size", "levels")
ROLES = ("test", "own")


class Asked(NamedTuple):
    """The answers of one restored model of one training: role -> one row a fact."""

    restored: str
    answers: dict[str, pl.DataFrame]


def put_back(opened: Opened, given: argparse.Namespace) -> Iterator[pl.DataFrame]:
    """Yield, of each model, size and level, what trainings answer with weights put back.

    Yields:
        labels of the training, role, restored, against (null, or nothing put back), domain, over,
        part, value, low, high, p, facts, seeds. `test` is over facts and seeds; `own`, whose
        examples differ from seed to seed, over seeds alone.
    """
    trainings: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in opened.plan.cells:
        if cell.chosen and cell.labels["grid"] == given.grid:
            labels = tuple(str(cell.labels.get(name)) for name in LABELS)
            if given.size in (None, labels[1]) and (not given.levels or labels[2] in given.levels):
                trainings[labels].append(cell)
    for labels, cells in trainings.items():
        asked: dict[str, dict[str, list[pl.DataFrame]]] = {
            role: defaultdict(list) for role in ROLES
        }
        for cell in cells:
            work = given.work / "-".join([*labels, str(cell.labels["seed"])])
            for restored, answers in _of_one_seed(opened, cell.jobs, work, given):
                sys.stderr.write(f"{' '.join(labels)}, seed {cell.labels['seed']}: {restored}\n")
                for role, table in answers.items():
                    asked[role][restored].append(table)
            shutil.rmtree(work)
        named = dict(zip(LABELS, labels, strict=True)) | {"seeds": len(cells)}
        rows = [named | row for row in (*_of_test(asked["test"]), *_of_own(asked["own"]))]
        yield pl.DataFrame(rows, infer_schema_length=None)


def _of_one_seed(
    opened: Opened, keys: dict[str, str], work: Path, given: argparse.Namespace
) -> Iterator[Asked]:
    """Yield the answers of a training and of every model restored from it."""
    jobs, store = opened.plan.jobs, opened.store

    def options(role: str) -> dict[str, Any]:
        job = jobs[keys[role]]
        read = {name: key for name, key in job.reads.items() if isinstance(key, str)}
        places = {
            name: str(store.place(jobs[key])) for name, key in read.items() if name != "model"
        }
        return {**job.options, **places}

    def answers(path: Path, out: Path) -> dict[str, pl.DataFrame]:
        tables = {}
        for role in ROLES:
            limit = {"limit": given.limit} if role == "test" else {}
            asked = {**options(role), **limit, "model": str(path), "out": out / role}
            tables[role] = measured(evaluate(EvaluateSpec.parse(asked)), ACCURACY)
        return tables

    model = jobs[keys["tune"]].reads["model"].reference  # type: ignore[union-attr]
    spec = {**options("tune"), "model": model, "out": work / "tuned"}
    tuned = tune(TuneSpec.parse(spec))
    yield Asked(TUNED, answers(tuned.path, work / "answers"))
    for index, (restored, rule) in enumerate(_rules(tuned, given)):
        out = work / f"restored-{index}"
        spec = {"base": model, "tuned": str(tuned.path), "out": out / "model", **rule}
        yield Asked(restored, answers(restore(RestoreSpec.parse(spec)).path, out))
        shutil.rmtree(out)


def _rules(tuned: Finished, given: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    for share in given.shares:
        yield f"{share:g}%", {"rule": "relative", "top": f"{share:g}"}
    if given.blocks:
        config = tuned.json("config")
        layers = config.get("num_hidden_layers", config.get("n_layer"))
        for first in range(0, layers, given.blocks):
            block = f"{first}-{min(layers, first + given.blocks) - 1}"
            yield f"layers {block}", {"rule": "interpolation", "alpha": 0.0, "layers": block}


def _of_test(asked: dict[str, list[pl.DataFrame]]) -> Iterator[dict[str, Any]]:
    for restored, tables in asked.items():
        for against in (None, TUNED):
            if restored != against:
                before = None if against is None else asked[against]
                for row in averages(tables, before, ACCURACY):
                    yield {
                        "role": "test", "restored": restored, "against": against, **row._asdict()
                    }  # fmt: skip


def _of_own(asked: dict[str, list[pl.DataFrame]]) -> Iterator[dict[str, Any]]:
    def means(tables: Sequence[pl.DataFrame]) -> np.ndarray:
        return np.array([table["value"].mean() for table in tables])

    for restored, tables in asked.items():
        for against in (None, TUNED):
            if restored != against:
                taken = 0.0 if against is None else means(asked[against])
                value, half = mean_and_half_width(means(tables) - taken)
                yield {
                    "role": "own", "restored": restored, "against": against, "domain": "in",
                    "over": "facts", "part": None, "value": value, "low": value - half,
                    "high": value + half, "p": None, "facts": tables[0].height,
                }  # fmt: skip


def add(path: Path, table: pl.DataFrame) -> None:
    """Write the rows of one model, size and level among those of the others."""
    with _only_one(path.parent):
        if path.is_file():
            others = read_table(path).join(table, on=LABELS, how="anti")
            joined = pl.concat([others, table], how="vertical_relaxed")
            table = joined.sort(LABELS, maintain_order=True)
        write_parquet(path, table)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def main() -> None:
    """Read the command line, do it, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("grid")
    parser.add_argument("work", type=Path)
    parser.add_argument("--size")
    parser.add_argument("--levels", nargs="*")
    parser.add_argument("--shares", type=float, nargs="*", default=[5, 20])
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--limit", type=int, default=600)
    given = parser.parse_args()
    path = HERE.parent / "data" / f"{given.study}-put_back.parquet"
    try:
        for table in put_back(open_study(StudySpec(file=HERE / f"{given.study}.yaml")), given):
            add(path, table)
            sys.stderr.write(f"{path}: {table.height} rows more\n")
    except SixtyfoldError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
