"""What a probe says of itself through the whole schedule: pilot, allocation, further draws.

    python benchmarks/interval_coverage.py [--facts 2000]      both tables, minutes
    python benchmarks/interval_coverage.py --facts 0           level_prob alone, a minute

Made-up facts of known recall, 21 templates each. `alike`: templates of nearly equal hit
probability; `unlike`: some always hit, some never. `drawn`: nothing is computed beforehand, every
draw is 0 or 1 (the hardest case); `computed`: four fifths of each probability are known.

First table: how often the nominal 95% interval holds the truth, facts of one recall at a time.
Second: `level_prob` (how probable the level is if the estimated rates are true) beside the
probability that this level has at the true rates; facts of all recalls share one budget.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sixtyfold.core.levels import level_probabilities
from sixtyfold.stages.probe.aggregate import level_from, recall_of
from sixtyfold.stages.probe.sampling import Estimate
from sixtyfold.stages.probe.schedule import Pilot, further_draws

K = 21
RECALLS = (0.0, 0.001, 0.01, 0.05, 0.24, 0.26, 0.5, 0.74, 0.9, 1.0)
SPREADS = {"alike": 50.0, "unlike": 1.0}
SHARES = {"drawn": 0.0, "computed": 0.8}
DRAWS = (1.0, 1.5, 2.5, 5.0)
OF_EACH_RECALL = 100

Floats = NDArray[np.float64]


def true_rates(recall: float, spread: float, facts: int, random: np.random.Generator) -> Floats:
    """Return [facts, K] hit probabilities that average to a recall."""
    if not 0.0 < recall < 1.0:
        return np.full((facts, K), recall)
    return random.beta(recall * spread, (1 - recall) * spread, (facts, K))


def probed(
    rates: Floats, share: float, draws: float, random: np.random.Generator
) -> list[list[Estimate]]:
    """Probe facts of known rates [facts, K]; return the estimates of each fact's templates."""
    facts = len(rates)
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
    return [
        [
            Estimate.counted(
                float(certain[fact, template]),
                drawn[fact][template] + values(fact, template, int(counts[template])),
            )
            for template in range(K)
        ]
        for fact, counts in enumerate(further_draws(pilots, round((draws - 1) * facts * K), 0))
    ]


def coverage(recall: float, spread: float, share: float, draws: float, facts: int) -> float:
    """Return how often the interval holds the truth."""
    random = np.random.default_rng([round(1000 * recall), round(spread), round(10 * draws)])
    rates = true_rates(recall, spread, facts, random)
    found = [recall_of(estimates) for estimates in probed(rates, share, draws, random)]
    held = [
        each.low - 1e-9 <= truth <= each.high + 1e-9
        for each, truth in zip(found, rates.mean(1), strict=True)
    ]
    return float(np.mean(held))


def stated_and_true(spread: float, share: float, draws: float) -> tuple[float, float]:
    """Return mean `level_prob`, and the mean probability of these levels at the true rates."""
    random = np.random.default_rng(7)
    rates = np.concatenate([true_rates(r, spread, OF_EACH_RECALL, random) for r in RECALLS])
    found = [level_from(estimates) for estimates in probed(rates, share, draws, random)]
    stated = [each.probability for each in found]
    true = [level_probabilities(r)[each.level] for r, each in zip(rates, found, strict=True)]
    return float(np.mean(stated)), float(np.mean(true))


def print_coverage(console: Console, facts: int) -> None:
    """Print the table of intervals."""
    table = Table("templates", "draws", *(f"{recall:g}" for recall in RECALLS))
    lowest = 1.0
    for alike, spread in SPREADS.items():
        for known, share in SHARES.items():
            for draws in DRAWS:
                found = [coverage(r, spread, share, draws, facts) for r in RECALLS]
                lowest = min(lowest, *found)
                shown = (f"{100 * each:.1f}" for each in found)
                table.add_row(f"{alike}, {known}", f"{draws:g}", *shown)
    console.print(table)
    console.print(f"lowest: {100 * lowest:.1f}% of {facts} facts each")


def print_levels(console: Console) -> None:
    """Print the table of levels."""
    table = Table("templates", "draws", "level_prob", "true", "ratio")
    for alike, spread in SPREADS.items():
        for known, share in SHARES.items():
            for draws in DRAWS:
                stated, true = stated_and_true(spread, share, draws)
                shown = (f"{each:.2f}" for each in (stated, true, stated / true))
                table.add_row(f"{alike}, {known}", f"{draws:g}", *shown)
    console.print(table)
    console.print(f"{OF_EACH_RECALL} facts of each of {len(RECALLS)} recalls")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--facts", type=int, default=2000, help="facts of each recall; 0 leaves intervals out"
    )
    given = parser.parse_args()
    console = Console(width=140)
    if given.facts:
        print_coverage(console, given.facts)
    print_levels(console)


if __name__ == "__main__":
    main()
