"""Coverage of the recall interval through the whole schedule: pilot, allocation, further draws.

    python benchmarks/interval_coverage.py [--facts 2000]

Made-up facts of known recall, 21 templates each. `alike`: templates of nearly equal hit
probability; `unlike`: some always hit, some never. `drawn`: nothing is computed beforehand, every
draw is 0 or 1 (the hardest case); `computed`: four fifths of each probability are known. Prints
for each recall how often the nominal 95% interval holds the truth.
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from sixtyfold.stages.probe.aggregate import recall_of
from sixtyfold.stages.probe.sampling import Estimate
from sixtyfold.stages.probe.schedule import Pilot, further_draws

K = 21
RECALLS = (0.0, 0.001, 0.01, 0.05, 0.24, 0.26, 0.5, 0.74, 0.9, 1.0)
SPREADS = {"alike": 50.0, "unlike": 1.0}
SHARES = {"drawn": 0.0, "computed": 0.8}


def coverage(recall: float, spread: float, share: float, draws: float, facts: int) -> float:
    """Return how often the interval holds the truth."""
    random = np.random.default_rng([round(1000 * recall), round(spread), round(10 * draws)])
    rates = np.full((facts, K), recall)
    if 0.0 < recall < 1.0:
        rates = random.beta(recall * spread, (1 - recall) * spread, (facts, K))
    certain = np.minimum(share * rates, 0.9)
    rest = (rates - certain) / (1 - certain)

    def values(fact: int, template: int, count: int) -> list[float]:
        hits = random.random(count) < rest[fact, template]
        return [
            float(each) for each in certain[fact, template] + (1 - certain[fact, template]) * hits
        ]

    drawn = [[values(fact, template, 1) for template in range(K)] for fact in range(facts)]
    pilots = [
        Pilot(f"{fact:05}", certain[fact], np.array([each[0] for each in drawn[fact]]))
        for fact in range(facts)
    ]
    held = 0
    for fact, counts in enumerate(further_draws(pilots, round((draws - 1) * facts * K), 0)):
        rows = [
            Estimate.counted(
                float(certain[fact, template]),
                drawn[fact][template] + values(fact, template, int(counts[template])),
            )
            for template in range(K)
        ]
        found = recall_of(rows)
        held += found.low - 1e-9 <= rates[fact].mean() <= found.high + 1e-9
    return held / facts


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=int, default=2000)
    given = parser.parse_args()
    table = Table("templates", "draws", *(f"{recall:g}" for recall in RECALLS))
    lowest = 1.0
    for alike, spread in SPREADS.items():
        for known, share in SHARES.items():
            for draws in (1.0, 1.5, 2.5, 5.0):
                found = [coverage(r, spread, share, draws, given.facts) for r in RECALLS]
                lowest = min(lowest, *found)
                shown = (f"{100 * each:.1f}" for each in found)
                table.add_row(f"{alike}, {known}", f"{draws:g}", *shown)
    console = Console(width=140)
    console.print(table)
    console.print(f"lowest: {100 * lowest:.1f}% of {given.facts} facts each")


if __name__ == "__main__":
    main()
