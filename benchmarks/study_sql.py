"""How long `sixtyfold sql` takes over 1,000 cells × 10,000 facts of answers (10 million rows).

    python benchmarks/study_sql.py [FOLDER] [--cells 1000] [--facts 10000]

The store is made up (every cell draws answers of its own; the columns are those of `evaluate`) and
kept in FOLDER where one is given. Four further jobs a cell have numbers only, so that there are
5,000 records. The other side is Polars reading the same files.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from sixtyfold.core.atomic_files import write_json, write_parquet
from sixtyfold.study.columns import CELLS_SCHEMA, SCHEMA
from sixtyfold.study.jobs import FORMAT
from sixtyfold.study.open_store import open_store
from sixtyfold.study.spec import SqlSpec
from sixtyfold.study.sql import ask

REPEATS = 5
SIZES = (60, 120, 240, 480, 960, 1920, 3840, 7680)
OTHER_JOBS = ("select", "tune", "diff", "drift")
RECALL = np.array([0.05, 0.2, 0.45, 0.7, 0.9])
ACCURACY = """
select size, level, avg(hit::int) as accuracy, count(*) as n
from answers join cells using (key) where role = 'test' group by size, level order by all
"""
FIGURES = """
select size, avg(value) as macro, count(*) as n from results
where measure = 'macro_relation' and part is null group by size order by all
"""


def facts_table(rows: int, draws: np.random.Generator) -> pl.DataFrame:
    """Return what all cells are asked: ids, relations, levels and prompts."""
    number = np.arange(rows)
    relation = pl.Series(number % 24).cast(pl.String)
    ids = draws.integers(0, 2**63, rows)
    return pl.DataFrame(
        {
            "fact_id": [f"{each:016x}" for each in ids],
            "relation": "P" + relation,
            "domain": np.where(number % 24 < 10, "in", "out"),
            "split": "test",
            "level": pl.Series(draws.integers(0, 5, rows), dtype=pl.Int8),
            "prompt": [f"Question: What is P{n % 24} of Thing {n}?\nAnswer:" for n in number],
        }
    ).sort("fact_id")


def answers(facts: pl.DataFrame, size: int, draws: np.random.Generator) -> pl.DataFrame:
    """Return the answers of one cell."""
    chance = RECALL[facts["level"].to_numpy()] + 0.01 * np.log2(size / 60)
    hit = draws.random(facts.height) < chance
    words = pl.Series([f"Answer {n} of many" for n in range(5000)])
    exact = hit & (draws.random(facts.height) < 0.9)
    return facts.with_columns(
        answer=words[draws.integers(0, 5000, facts.height)],
        hit=pl.Series(hit),
        exact=pl.Series(exact),
        f1=pl.Series(np.where(exact, 1.0, draws.random(facts.height).round(3) * hit)),
        ended=pl.Series(draws.random(facts.height) < 0.98),
    )


def made_up_store(root: Path, cells: int, facts: int) -> None:
    """Write a store of as many test answers as there are cells."""
    open_store(str(root))
    asked = facts_table(facts, np.random.default_rng(0))
    labels, others = [], []
    for number in range(cells):
        size, draws = SIZES[number % len(SIZES)], np.random.default_rng(number + 1)
        key = f"{draws.integers(0, 2**63):016x}"
        folder = root / "results" / "evaluate" / key
        folder.mkdir(parents=True)
        table = answers(asked, size, draws)
        write_parquet(folder / "answers.parquet", table)
        figure = {"measure": "macro_relation", "value": table["hit"].mean(), "n": facts}
        record(root, "evaluate", key, [{**figure, "domain": "in", "split": "test"}])
        labels.append((number, size, "test", "evaluate", key))
        for stage in OTHER_JOBS:
            other = f"{draws.integers(0, 2**63):016x}"
            some = [{"measure": f"{stage} {n}", "value": draws.random()} for n in range(20)]
            record(root, stage, other, some)
            others.append((number, size, stage, stage, other))
    rows = [
        ("sizes", "natural", "planted", number, str(size), "natural", 1e-4, True, "{}", *which)
        for number, size, *which in labels + others
    ]
    cells_file = root / "studies" / "sizes" / "cells.parquet"
    cells_file.parent.mkdir()
    write_parquet(cells_file, pl.DataFrame(rows, schema=CELLS_SCHEMA, orient="row"))


def record(root: Path, stage: str, key: str, numbers: list[dict[str, Any]]) -> None:
    """Write the numbers and the record of a job."""
    folder = root / "results" / stage / key
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(folder / "numbers.parquet", pl.DataFrame(numbers, schema=SCHEMA))
    write_json(root / "records" / f"{key}.json", {"format": FORMAT, "key": key})


def whole_process(root: Path, query: str) -> None:
    """Run the command."""
    command = [
        sys.executable,
        "-m",
        "sixtyfold",
        "sql",
        "--store",
        root,
        "--query",
        query,
        "--json",
    ]
    subprocess.run(command, check=True, capture_output=True)


def with_polars(root: Path) -> pl.DataFrame:
    """Return the same accuracies without the command: every answers.parquet, records not asked."""
    files = pl.scan_parquet(
        root / "results/evaluate/*/answers.parquet", include_file_paths="path"
    ).with_columns(key=pl.col("path").str.extract(r"([0-9a-f]{16})/answers"))
    cells = pl.scan_parquet(root / "studies/*/cells.parquet").select("key", "size")
    groups = files.join(cells, on="key").group_by("size", "level")
    return groups.agg(pl.col("hit").mean(), pl.len()).collect(engine="streaming")


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the first and the median time of `REPEATS` further ones."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser()
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--cells", type=int, default=1000)
    options.add_argument("--facts", type=int, default=10_000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = given.folder or Path(place) / "store"
        if not (root / "studies" / "sizes" / "cells.parquet").is_file():
            made_up_store(root, given.cells, given.facts)
        measure(root)


def measure(root: Path) -> None:
    """Print every arm's first and median time."""
    used = sum(each.stat().st_size for each in root.rglob("*.parquet"))
    found = ask(SqlSpec(store=str(root), query=ACCURACY))
    print(f"{found['n'].sum():,} rows of answers, {used / 2**20:,.0f} MiB")
    print(json.dumps(found.head(5).to_dicts()))
    arms: dict[str, Callable[[], object]] = {
        "accuracy per size x level, sql": lambda: ask(SqlSpec(store=str(root), query=ACCURACY)),
        "the same, whole process": lambda: whole_process(root, ACCURACY),
        "the same, Polars over the files": lambda: with_polars(root),
        "figures of the view results, sql": lambda: ask(SqlSpec(store=str(root), query=FIGURES)),
        "the figures, whole process": lambda: whole_process(root, FIGURES),
    }
    for name, work in arms.items():
        first, usual = seconds(work)
        print(f"{name:<34} first {first:6.2f} s, median of {REPEATS} {usual:6.2f} s")


if __name__ == "__main__":
    main()
