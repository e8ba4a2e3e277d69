"""Probabilities of a step computed in new tensors or in one that is kept, by number of rows.

    python benchmarks/fresh_memory.py

Logits in bfloat16, 49,152 tokens, T 0.7. The two sides run in turns in one process; then the same
again in a process with large pages, which the command line switches on. Prints medians and the
ratio (docs/decisions/009).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

SETTINGS = {"small pages": "0", "large pages": "1"}
ROWS, VOCABULARY, TEMPERATURE, ROUNDS = (192, 384), 49_152, 0.7, 9


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes; what it returns is dropped before the clock stops."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measured(rows: int) -> dict[str, list[float]]:
    """Compute probabilities both ways, in turns; return the seconds of each round."""
    import torch

    logits = torch.randn(rows, VOCABULARY).to(torch.bfloat16)
    kept = torch.empty(logits.shape)

    def new() -> torch.Tensor:
        return torch.softmax(logits.float() / TEMPERATURE, -1)

    def reused() -> torch.Tensor:
        scaled = kept.copy_(logits).div_(TEMPERATURE)
        return torch.softmax(scaled, -1, out=scaled)

    if not torch.equal(new(), reused()):
        raise SystemExit("the two sides differ")
    found: dict[str, list[float]] = {"new": [], "reused": []}
    for _ in range(ROUNDS):
        found["new"].append(seconds(new))
        found["reused"].append(seconds(reused))
    return found


def main() -> None:
    """Measure both settings, each in a process of its own."""
    for name, pages in SETTINGS.items():
        command = [sys.executable, __file__, "--measure"]
        environment = {**os.environ, "THP_MEM_ALLOC_ENABLE": pages}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        print(f"{name}, medians of {ROUNDS}")
        for rows, found in json.loads(done.stdout).items():
            new, reused = (1000 * statistics.median(found[side]) for side in ("new", "reused"))
            print(f"  {rows} rows  new {new:.1f} ms, reused {reused:.1f} ms, {new / reused:.1f}x")


if __name__ == "__main__":
    if "--measure" in sys.argv:
        print(json.dumps({rows: measured(rows) for rows in ROWS}))
    else:
        main()
