"""How long a ladder of training sets takes out of 76,000 probed facts: whole command and inside.

    python benchmarks/select_ladder.py [FOLDER OF ENTITYQUESTIONS]

With the folder the facts are EntityQuestions; without, made-up facts of the same size. The levels
are made up (the papers' shares for LLaMA-3-8B): choosing does not depend on where they come from.
There is no peer that does this; the other side is a plain random sample of the same sizes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from sixtyfold.core.facts import FACTS_SCHEMA, fact_id
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import open_stage
from sixtyfold.core.templates import template_table

REPEATS = 5
LADDER = "60,120,240,480,960,1920"
LEVEL_SHARES = np.array([18456, 29571, 11558, 8923, 7436]) / 75944  # arXiv 2509.16596, LLaMA-3-8B


def made_up_facts(rows: int = 218_000) -> pl.DataFrame:
    """Return facts in the shape of EntityQuestions: 24 relations, 80:10:10."""
    relations = [f"P{number}" for number in range(24)]
    facts = []
    for number in range(rows):
        relation, subject = relations[number % 24], f"Thing {number}"
        question = f"What is the {relation} of {subject}?"
        split = ("dev", "test")[number % 2] if number % 10 < 2 else "train"
        facts.append(
            {
                "fact_id": fact_id(relation, subject, question),
                "relation": relation,
                "subject": subject,
                "objects": [f"Answer {number * 7 % 5000}"],
                "question": question,
                "split": split,
                "domain": "in" if number % 24 < 10 else "out",
                "flags": [],
                "popularity": None,
            }
        )
    return pl.DataFrame(facts, schema=FACTS_SCHEMA)


def write_inputs(folder: Path, source: str | None) -> None:
    """Write a facts directory and a probe with made-up levels."""
    facts = folder / "facts"
    if source:
        command = [sys.executable, "-m", "sixtyfold", "facts", "build", "--facts"]
        subprocess.run([*command, f"entityquestions:{source}", "--out", facts], check=True)
    else:
        table = made_up_facts()
        with open_stage("facts", StageSpec(out=facts), {}) as stage:
            stage.write_table("facts", table.sort("fact_id"))
            names = table["relation"].unique()
            stage.write_table("templates", template_table({name: ["{question}"] for name in names}))
            stage.finish({"facts": table.height})
    ids = pl.read_parquet(facts / "facts.parquet").filter(split="train", domain="in")["fact_id"]
    levels = np.random.default_rng(0).choice(5, size=len(ids), p=LEVEL_SHARES)
    with open_stage("probe", StageSpec(out=folder / "probe"), {}) as stage:
        stage.write_table("probe", pl.DataFrame({"fact_id": ids, "level": levels.astype(np.int8)}))
        stage.finish({"probe": len(ids)})
    print(f"{len(ids):,} probed training facts")


def whole_command(folder: Path, out: Path, *options: str) -> float:
    """Return the seconds of one `sixtyfold select`."""
    command = [sys.executable, "-m", "sixtyfold", "select", "--facts", folder / "facts"]
    start = time.perf_counter()
    subprocess.run(
        [*command, "--probe", folder / "probe", "--out", out, "--short", "fill", *options],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - start


def inside(folder: Path) -> float:
    """Return the seconds of choosing alone: tables in memory to six sets."""
    from sixtyfold.stages.select.pool import read_pool
    from sixtyfold.stages.select.run import chosen_sets
    from sixtyfold.stages.select.spec import SelectSpec

    spec = SelectSpec(
        facts=str(folder / "facts"), probe=folder / "probe", out=folder, size=LADDER, short="fill"
    )
    pool = read_pool(spec)
    start = time.perf_counter()
    chosen_sets(pool, spec)
    return time.perf_counter() - start


def plain_sample(folder: Path) -> float:
    """Return the seconds of reading the tables and sampling the same sizes, nothing checked."""
    start = time.perf_counter()
    facts = pl.read_parquet(folder / "facts" / "facts.parquet")
    pool = facts.join(pl.read_parquet(folder / "probe" / "probe.parquet"), on="fact_id")
    for size in LADDER.split(","):
        pool.sample(int(size), seed=0).write_parquet(folder / f"sample-{size}.parquet")
    return time.perf_counter() - start


def main() -> None:
    """Measure and print medians."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_inputs(folder, sys.argv[1] if len(sys.argv) > 1 else None)
        arms = {
            "ladder": ["--size", LADDER],
            "ladder, shares of levels, over answers": [
                *("--size", LADDER, "--levels", "0:.2,2:.5,4:.3"),
                *("--balance", "relations,answers"),
            ],
            "ladder, no entity shared": ["--size", "60,120,240", "--disjoint", "subjects"],
        }
        help_command = [sys.executable, "-m", "sixtyfold", "select", "--help"]
        start = [_seconds(help_command) for _ in range(REPEATS)]
        print(f"start alone (--help)        {statistics.median(start):6.2f} s")
        for name, options in arms.items():
            seconds = [
                whole_command(folder, folder / f"{name}-{repeat}", *options)
                for repeat in range(REPEATS)
            ]
            print(f"{name:<40} {statistics.median(seconds):6.2f} s (median of {REPEATS})")
        alone = statistics.median(inside(folder) for _ in range(REPEATS))
        print(f"choosing alone              {alone:6.2f} s")
        plain = statistics.median(plain_sample(folder) for _ in range(REPEATS))
        print(f"plain random sample, inside {plain:6.2f} s, nothing checked or balanced")


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
