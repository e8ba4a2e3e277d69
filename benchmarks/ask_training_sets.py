"""What `check` says of training sets of known levels: the link between its questions and the probe.

    python benchmarks/ask_training_sets.py STUDY.yaml --work DIR --out asked.parquet [--facts 200]

For every model of a study, up to `--facts` of the facts it may train on become a file: some of each
level, and some as they come (natural); `check` asks the model about each file with its defaults.
One row per file: the shares of the levels in it, and the shares that `check` reports. The store
is only read; the study's probe must be in it. `benchmarks/calibrate_check.py` takes the tables. A
killed run continues with the same command.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.stage import finished
from sixtyfold.study.any_store import Store, StoredTable
from sixtyfold.study.file import ModelEntry, StudyFile
from sixtyfold.study.open_store import open_store
from sixtyfold.study.reading import read_study
from sixtyfold.workflows.check.knowledge import BUCKETS, asked_how
from sixtyfold.workflows.check.run import knowledge
from sixtyfold.workflows.check.spec import CheckSpec

LEAST = 20
"""Facts of a level; with fewer no file is made."""


def files(store: Store, study: StudyFile, most: int) -> dict[tuple[str, str], pl.DataFrame]:
    """Return (model, levels) to the facts of a file.

    Returns:
        tables with fact_id, level, question and objects.
    """
    cells = pl.concat([pl.read_parquet(path) for path in store.cells_files()])
    cells = cells.filter((pl.col("study") == study.name) & pl.col("key").is_in(store.recorded()))
    facts = pl.concat([_table(store, "facts", row) for row in _jobs(cells, "facts")])
    pool = facts.unique("fact_id").filter(split="train", domain="in")
    found = {}
    for row in _jobs(cells, "probe"):
        known = _table(store, "probe", row).select("fact_id", "level")
        own = pool.join(known, on="fact_id").sort("fact_id")
        kinds = {"natural": own, **{str(level): own.filter(level=level) for level in range(5)}}
        for levels, each in kinds.items():
            order = seeded_order(each["fact_id"].to_list(), 0)[:most]
            found[row["model"], levels] = each[order]
    return found


def _jobs(cells: pl.DataFrame, role: str) -> list[dict[str, Any]]:
    """Return the jobs of a role that belong to untuned models, or to none; each once."""
    own = cells.filter((pl.col("role") == role) & (pl.col("model").is_null() == (role == "facts")))
    return own.unique("key").sort("key").to_dicts()


def _table(store: Store, name: str, job: dict[str, Any]) -> pl.DataFrame:
    return store.table(StoredTable(name, job["stage"], job["key"]))


def ask(
    model: ModelEntry, shared: dict[str, Any], levels: str, facts: pl.DataFrame, folder: Path
) -> dict[str, Any]:
    """Write facts as a file, check it, and return what stands in one row.

    Args:
        model: whom to ask.
        shared: options of all models of the study.
        levels: what the file is called.
        facts: what to ask.
        folder: where file and check lie.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "file.jsonl"
    lines = [
        json.dumps({"question": question, "answer": objects[0], "aliases": objects[1:]})
        for question, objects in facts.select("question", "objects").iter_rows()
    ]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    given = {**shared, **model.options}
    own = {name: given[name] for name in ModelOptions.model_fields if name in given}
    spec = CheckSpec(file=file, model=model.model, out=folder / "checked", **own)
    found = knowledge(spec)
    if found is None:
        sys.exit(f"{file}: none of its answers is short enough for a fact")
    shares = facts["level"].value_counts(normalize=True)
    by_level = dict(shares.iter_rows())
    return {
        "model": model.name,
        "levels": levels,
        "facts": found["asked"],
        **{f"level_{level}": by_level.get(level, 0.0) for level in range(5)},
        **{name: found["buckets"][name]["value"] for name in BUCKETS},
        "form": found["form"],
        "protocol": asked_how(spec),
        "mean_recall": found["mean_recall_by_form"][found["form"]],
        "fingerprint": finished(spec.out / "probe").fingerprint,
    }


def main(arguments: list[str] | None = None) -> None:
    """Ask about every kind of training set of a study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="where files and checks lie")
    parser.add_argument("--out", type=Path, required=True, help="the table (.parquet)")
    parser.add_argument("--facts", type=int, default=200, help="facts in a file, at most")
    parser.add_argument("--models", nargs="*", help="only these; all of the study without it")
    options = parser.parse_args(arguments)
    study = read_study(options.study)
    models = {model.name: model for model in study.models}
    rows = []
    store = open_store(study.store, make=False)
    for (name, levels), facts in files(store, study, options.facts).items():
        if facts.height < LEAST or (options.models and name not in options.models):
            print(f"{name:24} {levels:8} left out: {facts.height} facts")
            continue
        place = options.work / study.name / name / levels
        row = ask(models[name], study.shared, levels, facts, place)
        rows.append({"study": study.name, **row})
        print(f"{name:24} {levels:8}", *(f"{each} {row[each]:.2f}" for each in BUCKETS), flush=True)
    if not rows:
        sys.exit(
            f"{study.store} holds no probe of an untuned model of {study.name} with such facts"
        )
    pl.DataFrame(rows).write_parquet(options.out)


if __name__ == "__main__":
    try:
        main()
    except SixtyfoldError as error:
        sys.exit(str(error))
