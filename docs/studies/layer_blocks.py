"""Put blocks of layers back and ask again: table 11 of arXiv 2509.16596, over several seeds.

    python docs/studies/layer_blocks.py STUDY GRID SIZE WORK [--limit 600] [--layers 4]

STUDY names a file of this folder whose grid GRID is finished. Its chosen trainings of SIZE examples
are made again in the directory WORK (the same bytes), and each block of layers is put back to the
base's weights whole. Writes docs/data/STUDY-blocks.parquet: accuracy on test facts of the first
LIMIT, with intervals over facts and seeds, and the paired difference to the tuned model.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.evaluate.run import run as evaluate
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.stages.restore.run import run as restore
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.stages.tune.run import run as tune
from sixtyfold.stages.tune.spec import TuneSpec
from sixtyfold.study.contrast_numbers import ACCURACY, averages, measured
from sixtyfold.study.run import Opened, open_study
from sixtyfold.study.spec import StudySpec

HERE = Path(__file__).parent


def blocks_of(opened: Opened, given: argparse.Namespace) -> pl.DataFrame:
    """Return the accuracy with each block put back, and its difference to the tuned model."""
    cells = [
        cell
        for cell in opened.plan.cells
        if cell.chosen and cell.labels["grid"] == given.grid
        and str(cell.labels.get("size")) == given.size
    ]  # fmt: skip
    asked: dict[str, list[pl.DataFrame]] = {}
    for cell in cells:
        seed = cell.labels["seed"]
        for name, answers in _of_one_seed(opened, cell.jobs, given.work / f"seed-{seed}", given):
            asked.setdefault(name, []).append(measured(answers, ACCURACY))
            sys.stderr.write(f"seed {seed}, {name}\n")
    rows: list[dict[str, Any]] = []
    for name, tables in asked.items():
        for other in (None, "tuned"):
            if name != other:
                before = None if other is None else asked[other]
                rows += [
                    {"restored": name, "against": other, **row._asdict()}
                    for row in averages(tables, before, ACCURACY)
                ]
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(seeds=pl.lit(len(cells)))


def _of_one_seed(
    opened: Opened, keys: dict[str, str], work: Path, given: argparse.Namespace
) -> Iterator[tuple[str, Finished]]:
    jobs, store = opened.plan.jobs, opened.store
    training = jobs[keys["tune"]]
    model = training.reads["model"].reference  # type: ignore[union-attr]
    tuned = tune(
        TuneSpec.parse(
            {
                **training.options,
                "model": model,
                "selection": store.place(jobs[keys["select"]]),
                "out": work / "tuned",
            }
        )
    )
    asking = jobs[keys["test"]]
    facts = store.place(jobs[str(asking.reads["facts"])])
    probe = asking.reads.get("probe")
    options: dict[str, Any] = {**asking.options, "facts": str(facts), "limit": given.limit}
    if isinstance(probe, str):
        options["probe"] = store.place(jobs[probe])

    def answers(name: str, path: Path) -> Finished:
        return evaluate(
            EvaluateSpec.parse({**options, "model": str(path), "out": work / f"answers-{name}"})
        )

    yield "tuned", answers("tuned", tuned.path)
    last = tuned.json("config")["num_hidden_layers"] - 1
    for first in range(0, last + 1, given.layers):
        block = f"{first}-{min(last, first + given.layers - 1)}"
        out = work / "restored"
        shutil.rmtree(out, ignore_errors=True)
        restore(
            RestoreSpec.parse(
                {
                    "base": model, "tuned": str(tuned.path), "rule": "interpolation",
                    "alpha": 0.0, "layers": block, "out": out,
                }
            )
        )  # fmt: skip
        yield f"layers {block}", answers(block, finished(out, "restore").path)


def main() -> None:
    """Read the command line, do it, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("grid")
    parser.add_argument("size")
    parser.add_argument("work", type=Path)
    parser.add_argument("--limit", type=int, default=600)
    parser.add_argument("--layers", type=int, default=4)
    given = parser.parse_args()
    try:
        table = blocks_of(open_study(StudySpec(file=HERE / f"{given.study}.yaml")), given)
    except SixtyfoldError as error:
        sys.exit(str(error))
    path = HERE.parent / "data" / f"{given.study}-blocks.parquet"
    table.write_parquet(path, compression="zstd")
    sys.stderr.write(f"{path}: {table.height} rows\n")


if __name__ == "__main__":
    main()
