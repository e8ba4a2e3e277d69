"""Is bfloat16 faster than float32 on this processor, and does `--dtype auto` know?

    python benchmarks/number_formats.py [--threads N] [--rounds 7]

Multiplies by matrices of the embedded model (576 × 1,536 and 576 × 49,152) for 16 to 1,024 rows,
both formats in turns; prints the median time of bfloat16 over that of float32: below 1 it is
faster.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from sixtyfold.core.models import resolve_dtype

MATRICES = {"feed-forward": (576, 1536), "vocabulary": (576, 49_152)}
ROWS = (16, 64, 256, 1024)
LEAST = 5e9
"""Floating-point operations of one timing, so that it takes hundredths of a second."""


def seconds(rows: int, inside: int, outside: int, dtype: torch.dtype) -> float:
    """Return the time of one multiplication."""
    given = torch.randn(rows, inside).to(dtype)
    weights = torch.randn(outside, inside).to(dtype)
    times = max(1, int(LEAST / (2 * rows * inside * outside)))
    torch.nn.functional.linear(given, weights)
    start = time.perf_counter()
    for _ in range(times):
        torch.nn.functional.linear(given, weights)
    return (time.perf_counter() - start) / times


def main() -> None:
    """Print one line for every matrix and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"auto takes {resolve_dtype('auto', 'cpu')}; {given.threads} threads")
    for name, (inside, outside) in MATRICES.items():
        for rows in ROWS:
            ratios = [
                seconds(rows, inside, outside, torch.bfloat16)
                / seconds(rows, inside, outside, torch.float32)
                for _ in range(given.rounds)
            ]
            print(f"{name}, {rows} rows: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
