"""Disk and time of a sweep over thirty shares: whole checkpoints beside patches of them.

    python benchmarks/patch_disk.py BASE TUNED

Makes one checkpoint and thirty patches of the pair, rebuilds three of them and compares their bytes
with checkpoints restored directly. Prints sizes, seconds and peak memory of the whole processes,
and ratios.
"""

from __future__ import annotations

import filecmp
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

SHARES = (*range(1, 11), *range(12, 31, 2), 33, 36, 40, 45, 50, 55, 60, 70, 80, 90)
REBUILT = (1, 20, 90)


class Cost(NamedTuple):
    """What a process took."""

    seconds: float
    peak: float
    """Megabytes."""

    def __str__(self) -> str:
        return f"{self.seconds:7.1f} s {self.peak:6.0f} MB peak"


def sixtyfold(*words: object) -> Cost:
    """Run a command and return what it took."""
    command = [sys.executable, "-m", "sixtyfold", *map(str, words)]
    start = time.perf_counter()
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    child = os.posix_spawn(sys.executable, command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed")
    return Cost(time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e6)


def megabytes(folder: Path) -> float:
    """Return the size of all files under a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Measure and print."""
    if len(SHARES) != 30:
        raise SystemExit("thirty shares are wanted")
    pair = ("--base", sys.argv[1], "--tuned", sys.argv[2])
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        out = Path(name)
        sixtyfold("restore", *pair, "--top", 20, "--out", out / "warm")
        whole = sixtyfold("restore", *pair, "--top", 20, "--out", out / "whole")
        shares = ",".join(map(str, SHARES))
        sweep = sixtyfold("restore", *pair, "--top", shares, "--as-patch", "--out", out / "sweep")
        values = sixtyfold(
            "restore", *pair, "--top", 20, "--as-patch", "--patch-values", "--out", out / "values"
        )
        one = megabytes(out / "whole")
        print(f"one checkpoint               {one:10.1f} MB {whole}")
        print(f"thirty checkpoints           {30 * one:10.1f} MB")
        size = megabytes(out / "sweep")
        print(f"thirty patches               {size:10.1f} MB {sweep}  ({30 * one / size:.0f}x)")
        size = megabytes(out / "values")
        print(f"one patch of 20% with values {size:10.1f} MB {values}  ({one / size:.1f}x)")
        for share in REBUILT:
            again, direct = out / f"again-{share}", out / f"direct-{share}"
            patch = out / "sweep" / f"top-{share}"
            rebuilt = sixtyfold("rebuild", "--patch", patch, *pair, "--out", again)
            restored = sixtyfold("restore", *pair, "--top", share, "--out", direct)
            same = all(
                filecmp.cmp(path, again / path.name, shallow=False)
                for path in direct.glob("*.safetensors")
            )
            print(
                f"{share:3d}%: rebuilt in {rebuilt}, restored in {restored}, "
                f"{'the same bytes' if same else 'OTHER BYTES'}"
            )
            if not same:
                raise SystemExit(1)


if __name__ == "__main__":
    main()
