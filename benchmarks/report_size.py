"""How large reports become and how fast they open and filter, in headless Chromium.

    python benchmarks/report_size.py [FOLDER] [--facts 100000] [--cells 1000]

A made-up run whose facts, questions and answers all differ, and a made-up study with answers of
its own in every cell; kept in FOLDER where one is given. Printed beside the limits: bytes, seconds
to the first paint, until the long tables answer, and of a filter, a search (the first one, which
prepares the texts, and a later one) and a sort: from the call to the drawn rows, median of five.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from playwright.sync_api import Page, expect, sync_playwright

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.facts import FACTS_SCHEMA
from sixtyfold.reporting.run import run, write_report
from sixtyfold.reporting.spec import ReportSpec

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from made_up_run import build_run, stage
from made_up_study import Grid, build_study

MOST_BYTES, MOST_SECONDS = 15_000_000, 2.0
REPEATS = 5
SYLLABLES = (
    *("ba", "chi", "dor", "el", "fan", "gu", "hes", "in", "jo", "kal", "lem", "mir", "na"),
    *("or", "pet", "qua", "ri", "sol", "tam", "ur", "ven", "wi", "xa", "zo"),
)
QUESTIONS = [
    "Which country is {} located in?", "Where was {} born?", "What is the capital of {}?",
    "Who is the author of {}?", "Which company is {} produced by?",
    "What language was {} written in?",
]  # fmt: skip


def names(count: int, draws: np.random.Generator) -> list[str]:
    """Return made-up names of two words."""
    parts = draws.integers(0, len(SYLLABLES), (count, 6))
    return [
        "".join(SYLLABLES[at] for at in row[:3]).title() + " "
        + "".join(SYLLABLES[at] for at in row[3:]).title()
        for row in parts
    ]  # fmt: skip


def made_up_run(folder: Path, count: int) -> Path:
    """Write a run of `count` test facts, answered by three models, and return its directory."""
    build_run(folder)
    for name in ("facts", "probe", "answers", "drift"):
        shutil.rmtree(folder / name)
    draws = np.random.default_rng(0)
    subjects, objects, wrong = (names(count, draws) for _ in range(3))
    relation = draws.integers(0, 24, count)
    asked = [
        QUESTIONS[at % len(QUESTIONS)].format(name)
        for at, name in zip(relation, subjects, strict=True)
    ]
    level = draws.integers(0, 5, count)
    same = {
        "fact_id": [f"{each:016x}" for each in draws.integers(0, 2**63, count)],
        "relation": [f"P{at}" for at in relation],
        "domain": np.where(relation < 10, "in", "out"),
        "split": ["test"] * count,
    }
    facts = {**same, "subject": subjects, "objects": [[name] for name in objects],
             "question": asked, "flags": [[]] * count, "popularity": [None] * count}  # fmt: skip
    stage(folder / "facts", "facts",
          {"facts": pl.DataFrame(facts).select(list(FACTS_SCHEMA)).cast(FACTS_SCHEMA)})  # fmt: skip
    probs = np.eye(5)[level].tolist()
    probe = {"fact_id": same["fact_id"], "recall": draws.random(count).round(3), "level": level,
             "level_probs": probs}  # fmt: skip
    stage(folder / "probe", "probe", {"probe": pl.DataFrame(probe).cast({"level": pl.Int8})})
    for number, model in enumerate(("base-fewshot", "tuned", "restored")):
        hit = draws.random(count) < np.array([0.05, 0.2, 0.4, 0.6, 0.8])[level] + 0.05 * number
        said = [right if yes else other
                for yes, right, other in zip(hit, objects, wrong, strict=True)]  # fmt: skip
        answers = {**same, "level": level, "prompt": asked, "answer": said, "hit": hit,
                   "exact": hit, "f1": hit.astype(float), "ended": [True] * count}  # fmt: skip
        table = pl.DataFrame(answers).select(list(ANSWERS_SCHEMA)).cast(ANSWERS_SCHEMA)
        for split in ("dev", "test"):
            stage(folder / "answers" / f"{model}-{split}", "evaluate", {"answers": table})
        wrong = names(count, draws)
    drift = {name: same[name] for name in ("fact_id", "relation", "domain")}
    drift |= {"kl_top10": draws.exponential(1.0, count),
              "kl_tuned_base": draws.exponential(0.5, count)}  # fmt: skip
    stage(folder / "drift", "drift", {"drift": pl.DataFrame(drift)})
    return folder


def timed(page: Page, table: str, act: str) -> float:
    """Return the milliseconds from an act on a long table to its rows being drawn."""
    return float(page.evaluate(
        """([name, act]) => new Promise((done) => {
            const box = document.querySelector(`[data-table=${name}]`);
            const view = window.jQuery(box.querySelector("table")).DataTable();
            const start = performance.now();
            const drawn = () => done(performance.now() - start);
            window.jQuery(view.table().node()).one("draw.dt", drawn);
            const acts = {
                search: (text) => view.search(text).draw(),
                sort: (column) => view.order([Number(column), "asc"]).draw(),
                filter: (value) => {
                    const select = box.querySelector("select");
                    select.selectedIndex = Number(value);
                    select.dispatchEvent(new Event("change"));
                },
            };
            const [kind, value] = act.split(":");
            acts[kind](value);
        })""", [table, act]))  # fmt: skip


def measured(page: Page, path: Path, table: str, word: str, column: int) -> dict[str, float]:
    """Open a report and return its figures in seconds (bytes for the size)."""
    start = time.monotonic()
    page.goto(path.as_uri())
    expect(page.locator(f"[data-table={table}][data-ready]")).to_have_count(1, timeout=120_000)
    ready = time.monotonic() - start
    expect(page.locator("[data-chart]:not([data-drawn])")).to_have_count(0, timeout=120_000)
    drawn = time.monotonic() - start
    paint = page.evaluate(
        "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
    first_search = timed(page, table, f"search:{word}")
    acts = {"filter": ("filter:1", "filter:0"), "search": (f"search:{word}", "search:"),
            "sort": (f"sort:{column}", "sort:0")}  # fmt: skip
    found = {
        name: statistics.median(timed(page, table, each[n % 2]) for n in range(REPEATS))
        for name, each in acts.items()
    }
    return {
        "bytes": float(path.stat().st_size),
        "first paint": paint / 1000,
        "table ready": ready,
        "all charts drawn": drawn,
        "first search": first_search / 1000,
        **{name: value / 1000 for name, value in found.items()},
    }


def show(name: str, written: float, figures: dict[str, float]) -> bool:
    """Print the figures and return whether they are within the limits."""
    size, paint = figures["bytes"], figures["first paint"]
    print(f"\n{name}: written in {written:.1f} s")
    print(f"  {'bytes':<18}{size:>14,.0f}   limit {MOST_BYTES:,}")
    print(f"  {'first paint':<18}{paint:>14.2f}   limit {MOST_SECONDS:.1f} s")
    for key, value in figures.items():
        if key not in {"bytes", "first paint"}:
            print(f"  {key:<18}{value:>14.3f} s")
    return size <= MOST_BYTES and paint <= MOST_SECONDS


def main() -> None:
    """Make both reports, measure both; exit code 1 where a limit is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = options.folder or Path(temporary)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        results: list[Any] = []
        if not (folder / "run").is_dir():
            made_up_run(folder / "run", options.facts)
        start = time.monotonic()
        path = write_report(folder / "run")
        seconds = time.monotonic() - start
        found = measured(browser.new_page(), path, "facts", "tambador", 5)
        results.append(show(f"a run of {options.facts:,} test facts", seconds, found))
        sizes = tuple(60 * 2**step for step in range(8))
        models = tuple(f"model {number}" for number in range(5))
        seeds = max(1, options.cells // (len(sizes) * len(models) * 5))
        grid = Grid(models, sizes, ("natural", "0", "1", "2", "4"), seeds)
        if not (folder / "store").is_dir():
            build_study(folder / "store", facts=600, grid=grid)
        start = time.monotonic()
        path = run(ReportSpec(store=str(folder / "store"), out=folder / "study.html"))
        seconds = time.monotonic() - start
        cells = len(sizes) * len(models) * 5 * seeds
        found = measured(browser.new_page(), path, "numbers", "kl_top10", 12)
        results.append(show(f"a study of {cells:,} cells", seconds, found))
        browser.close()
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
