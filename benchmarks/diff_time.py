"""Seconds and peak memory of `sixtyfold diff` as whole processes, warm file cache.

    python benchmarks/diff_time.py --tuned TUNED [--other TUNED2] [--base embedded] [--rounds 3]

Prints one row per set of options: median seconds, weights per second, peak resident memory. Pages
of the memory-mapped model files count as resident until they are released.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from sixtyfold.core.stage import finished


def timed(arguments: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its peak memory in MB."""
    started = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "sixtyfold", *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"sixtyfold {' '.join(arguments)} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1024


def main() -> None:
    """Time every set of options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--tuned", required=True)
    parser.add_argument("--other")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    options = {"plain": [], "papers' rounding": ["--papers-rounding"], "spectrum": ["--spectrum"]}
    if given.other:
        options["overlap"] = ["--other", given.other]
    print(f"{'options':18} {'seconds':>8} {'M weights/s':>12} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, more in options.items():
            out, rounds = Path(folder) / "diff", []
            for _ in range(given.rounds + 1):  # the first warms the cache
                shutil.rmtree(out, ignore_errors=True)
                models = ["--base", given.base, "--tuned", given.tuned]
                rounds.append(timed(["diff", *models, "--out", str(out), *more]))
            weights = finished(out, "diff").table("weight_changes")["numel"].sum()
            seconds = statistics.median(each for each, _ in rounds[1:])
            peak = max(each for _, each in rounds[1:])
            print(f"{name:18} {seconds:8.1f} {weights / seconds / 1e6:12.1f} {peak:8.0f}")


if __name__ == "__main__":
    main()
