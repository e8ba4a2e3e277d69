"""What the runner of a study costs beside the jobs themselves.

    python benchmarks/study_overhead.py [--seeds 4] [--cells 1000]

First a real study of planted models (6 trainings a seed, each asked, compared and looked into):
seconds of the whole command beside the sum of its jobs' own seconds, as the records hold them, and
of the same command again, which finds everything done: what every start costs.
Then a store of so many recorded cells, made by stages that compute nothing: seconds of the command
that finds everything done, as a whole process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
import yaml

from sixtyfold.stages.plant.run import run as plant
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.study.open_store import open_store

TESTS = Path(__file__).parents[1] / "tests"
DRIVER = """
import sys, time
sys.path.insert(0, sys.argv[1])
import study_driver
from pathlib import Path
start = time.perf_counter()
study_driver.main(Path(sys.argv[2]), int(sys.argv[3]))
"""
TRAININGS_A_SEED = 9


def real(folder: Path, seeds: int) -> None:
    """Run a study of a planted model and print what the runner added."""
    planted = plant(PlantSpec(out=folder / "planted", subjects=60)).path
    file = folder / "study.yaml"
    values = {
        "name": "overhead",
        "models": [str(planted)],
        "facts": {"facts": str(planted)},
        "store": str(folder / "store"),
        "probe": {"templates": 2},
        "seeds": list(range(seeds)),
        "grids": [
            {
                "name": "natural",
                "select": {"size": [8, 16, 24], "short": "fill"},
                "tune": {"learning_rate": [1e-3, 1e-4], "epochs": 4},
                "diff": {},
            }
        ],
    }
    file.write_text(yaml.safe_dump(values))
    start = time.perf_counter()
    command = [sys.executable, "-m", "sixtyfold", "study", "run", "--file", str(file)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    whole = time.perf_counter() - start
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    again = time.perf_counter() - start
    store = open_store(str(folder / "store"))
    own = sum(store.record(key).seconds for key in store.recorded())
    print(f"{6 * seeds} trainings, {len(store.recorded())} jobs: {whole:.1f} s as a process, "
          f"{own:.1f} s in the jobs: {100 * (whole / own - 1):.1f}% more; "
          f"again, with nothing left: {again:.1f} s")  # fmt: skip


def recorded(folder: Path, cells: int) -> None:
    """Make a store of so many cells and time the command that finds all of it done."""
    seeds = -(-cells // TRAININGS_A_SEED)
    root = folder / "recorded"
    command = [sys.executable, "-c", DRIVER, str(TESTS), str(root), str(seeds)]
    times = []
    for _ in range(4):
        start = time.perf_counter()
        subprocess.run(command, check=True)
        times.append(time.perf_counter() - start)
    again = statistics.median(times[1:])
    rows = pl.scan_csv(root.with_suffix(".csv")).select(pl.len()).collect().item()
    print(f"{TRAININGS_A_SEED * seeds} recorded trainings, {rows} numbers: made in "
          f"{times[0]:.0f} s, run again, results written: {again:.1f} s (median of 3)")  # fmt: skip


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--cells", type=int, default=1000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        real(Path(scratch), given.seeds)
        recorded(Path(scratch), given.cells)


if __name__ == "__main__":
    main()
