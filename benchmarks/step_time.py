"""Seconds of a decoding step: transformers as it is, and with our attention and cache.

    python benchmarks/step_time.py [--rows 256] [--tokens 24]

The embedded model, the same rows on both sides, in turns. Prints medians over rounds and the ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "30000")  # what the command line sets
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

ROUNDS = 5
PROMPT = 12


def main() -> None:
    """Time both sides and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=24)
    given = parser.parse_args()

    import torch

    from sixtyfold.engines import cache, torch_engine
    from sixtyfold.engines.attention import NAME
    from sixtyfold.stages.probe.spec import ProbeSpec

    engine = torch_engine.TorchEngine.load("embedded", ProbeSpec(out=Path()))
    with_room = cache.with_room
    prompts = [[100 + row] * PROMPT for row in range(given.rows)]
    steps = torch.randint(5, 40000, (given.tokens, given.rows))
    sides: dict[str, list[float]] = {"transformers": [], "ours": []}
    for _ in range(ROUNDS):
        for name, seconds in sides.items():
            engine.model.set_attn_implementation(NAME if name == "ours" else "sdpa")
            cache.with_room = with_room if name == "ours" else lambda held: held
            batch = engine.prefill(prompts)
            start = time.perf_counter()
            for tokens in steps:
                batch.step(tokens)
            seconds.append((time.perf_counter() - start) / given.tokens)
    middle = {name: statistics.median(seconds) for name, seconds in sides.items()}
    for name, seconds in sides.items():
        every = ", ".join(f"{1000 * each:.0f}" for each in seconds)
        print(f"{name}: {1000 * middle[name]:.0f} ms a step of {given.rows} rows ({every})")
    print(f"ours is {middle['transformers'] / middle['ours']:.2f}× as fast")


if __name__ == "__main__":
    main()
