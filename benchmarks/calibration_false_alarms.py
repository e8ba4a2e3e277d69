"""How often the rule that lets `check` print a number is right, on made-up studies of known truth.

    python benchmarks/calibration_false_alarms.py [--studies 200]

The design is that of the shipped studies: one model on two fact sets and three planted ones, sizes
60 and 240, natural sets and one of each level. Printed for each truth: the share of studies in
which the first condition, the first two, and the whole rule hold, and the share of left-out
trainings that the intervals hold, over all studies and over those that are called calibrated.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from made_up_trainings import Truth, by_link, made_up_asked, made_up_cells
from sixtyfold.workflows.check.calibration.fit import outcome_of
from sixtyfold.workflows.check.calibration.fitted import Outcome
from sixtyfold.workflows.check.calibration.link import Asked, asked_of

FIRST_SEED = 10_000  # not those on which the rule was settled
TRUTHS = {
    "levels do nothing": Truth(),
    "nothing, twice the noise": Truth(noise=0.03),
    "each set its own, 3 points": Truth(by_set=0.03),
    "each model its own, 5 points": Truth(by_model=0.05),
    "each model its own, 10 points": Truth(by_model=0.1),
    "3 points": Truth((-0.03, 0.0)),
    "6 points": Truth((-0.06, 0.0)),
    "12 points": Truth((-0.12, 0.0)),
    "12 points, by model 4": Truth((-0.12, 0.0), by_model=0.04),
    "middle best, 5 points": Truth((-0.05, 0.05)),
}
"""Points are of accuracy for a set of level 0 against one of levels 3 and 4."""


def main() -> None:
    """Print a line per truth."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=200)
    studies = parser.parse_args().studies
    asked = asked_of([made_up_asked(by_link, "embedded", name) for name in ("entities", "atlas")])
    print(f"{'truth':31} sets  +models  rule   held  held if calibrated")
    for name, truth in TRUTHS.items():
        found = [_outcome(truth, seed, asked) for seed in range(FIRST_SEED, FIRST_SEED + studies)]
        first = np.array([each.groups is not None and (each.groups.low or 0) > 0 for each in found])
        second = np.array(
            [each.models is not None and (each.models.low or 0) > 0 for each in found]
        )
        rule = [each for each in found if each.calibrated]
        print(
            f"{name:31} {first.mean():.3f} {(first & second).mean():.3f}    "
            f"{len(rule) / studies:.3f}  {_held(found)}  {_held(rule)}",
            flush=True,
        )


def _outcome(truth: Truth, seed: int, asked: list[Asked]) -> Outcome:
    return outcome_of(made_up_cells(truth, seed), "accuracy", asked)


def _held(outcomes: list[Outcome]) -> str:
    counts = [each.coverage for each in outcomes if each.coverage is not None]
    trainings = sum(each.trainings for each in counts)
    return f"{sum(each.covered for each in counts) / trainings:.3f}" if trainings else "-"


if __name__ == "__main__":
    main()
