"""How long EntityQuestions take from their 72 files to tables, beside `datasets` doing less.

    python benchmarks/entityquestions_loading.py DIR

DIR (or SIXTYFOLD_ENTITYQUESTIONS) holds train, dev and test. One side is `sixtyfold facts build`:
subjects, answers with their aliases, one fact per key, flags, domains, templates, manifest. The
other is `datasets.load_dataset("json", ...)` with `to_parquet`, rows as they are. Each run is a
process of its own with an empty cache. Prints median seconds, peak memory and their ratios.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROUNDS = 3
BASELINE, OURS = "datasets, json to parquet", "sixtyfold facts build"


class Cost(NamedTuple):
    """What one process took."""

    seconds: float
    megabytes: float


def load_with_datasets(root: Path, out: Path) -> None:
    """Read every file of each split and write it as Parquet."""
    import datasets

    datasets.disable_progress_bars()
    files = {
        split: [str(path) for path in sorted((root / split).glob("*.json"))]
        for split in ("train", "dev", "test")
    }
    loaded = datasets.load_dataset("json", data_files=files, cache_dir=str(out / "cache"))
    for split, table in loaded.items():
        table.to_parquet(out / f"{split}.parquet")


def commands(root: Path, out: Path) -> dict[str, list[str]]:
    """Return the command line of each side, which writes under `out`."""
    built = ["facts", "build", "--facts", f"entityquestions:{root}", "--out", str(out / "facts")]
    return {
        BASELINE: [sys.executable, __file__, "--datasets", str(root), str(out)],
        OURS: [sys.executable, "-c", "from sixtyfold.cli import main; main()", *built],
    }


def measured(command: list[str]) -> Cost:
    """Run a command and return its wall time and its peak memory."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(command[0], command, environment, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - began
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"failed: {' '.join(command)}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of one ru_maxrss
    return Cost(seconds, usage.ru_maxrss * unit / 1e6)


def rows_written(out: Path) -> str:
    """Return how many rows each side wrote, so that it is seen that they read the same files."""
    import polars as pl

    rows = sum(pl.read_parquet(path).height for path in out.glob("*.parquet"))
    facts = pl.read_parquet(out / "facts" / "facts.parquet").height
    return f"rows: {rows:,} ({BASELINE}), {facts:,} facts after uniting rows ({OURS})"


def main(root: Path) -> None:
    """Measure both sides in turn and print them."""
    costs: dict[str, list[Cost]] = {BASELINE: [], OURS: []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as scratch:
            for side, command in commands(root, Path(scratch)).items():
                costs[side].append(measured(command))
            rows = rows_written(Path(scratch))
    medians = {
        side: Cost(*(statistics.median(values) for values in zip(*found, strict=True)))
        for side, found in costs.items()
    }
    base = medians[BASELINE]
    print(f"median of {ROUNDS} runs; {rows}")
    for side, (seconds, megabytes) in medians.items():
        print(
            f"  {side:<26} {seconds:6.2f} s ({seconds / base.seconds:.2f}x)"
            f"  {megabytes:6.0f} MB at most ({megabytes / base.megabytes:.2f}x)"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--datasets"]:
        load_with_datasets(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        given = (
            sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SIXTYFOLD_ENTITYQUESTIONS", "")
        )
        if not (Path(given) / "train").is_dir():
            sys.exit(
                f"give the folder with train, dev and test of EntityQuestions ({given!r} given)"
            )
        main(Path(given).resolve())
