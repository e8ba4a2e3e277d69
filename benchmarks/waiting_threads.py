"""How torch's waiting threads behave: a token of 192 rows, alone and beside a job of the same kind.

    python benchmarks/waiting_threads.py

Prints the median step of each setting and its ratio to the default (docs/decisions/004).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

SETTINGS = {
    "default": {},
    "GOMP_SPINCOUNT=30000 (ours)": {"GOMP_SPINCOUNT": "30000"},
    "OMP_WAIT_POLICY=passive": {"OMP_WAIT_POLICY": "passive"},
}
ROWS, STEPS, ROUNDS = 192, 6, 3


def steps(seconds: float) -> list[float]:
    """Draw tokens with the embedded model; return the seconds of each step."""
    import torch

    from sixtyfold.core.models import ModelOptions
    from sixtyfold.engines.torch_engine import TorchEngine

    engine = TorchEngine.load("embedded", ModelOptions())
    tokens = torch.full((ROWS,), 50)
    batch = engine.prefill([list(range(100, 116))] * ROWS)
    batch.step(tokens)
    found: list[float] = []
    until = time.monotonic() + seconds
    while len(found) < STEPS or time.monotonic() < until:
        if len(found) % STEPS == 0:
            batch = engine.prefill([list(range(100, 116))] * ROWS)
        start = time.perf_counter()
        batch.step(tokens)
        found.append(time.perf_counter() - start)
    return found


def measured(setting: dict[str, str]) -> float:
    """Run `steps` in a process of its own and return its median."""
    command = [sys.executable, __file__, "--steps"]
    done = subprocess.run(
        command, env={**os.environ, **setting}, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    """Measure every setting, alone and beside another job."""
    for beside in (False, True):
        other = None
        if beside:
            other = subprocess.Popen([sys.executable, __file__, "--busy"])
            time.sleep(8)
        try:
            seen = {name: [] for name in SETTINGS}
            for _ in range(ROUNDS):
                for name, setting in SETTINGS.items():
                    seen[name].append(measured(setting))
        finally:
            if other is not None:
                other.kill()
                other.wait()
        default = statistics.median(seen["default"])
        print("beside another job" if beside else "alone")
        for name, values in seen.items():
            median = statistics.median(values)
            print(
                f"  {name:<28} {median:.3f} s a step, {default / median:.2f}x the default's speed"
            )


if __name__ == "__main__":
    if "--steps" in sys.argv:
        print(statistics.median(steps(0.0)))
    elif "--busy" in sys.argv:
        steps(900.0)  # ends by itself where its parent was killed
    else:
        main()
