"""Do the intervals hold what they promise, and do the tests raise as few false alarms?

    python benchmarks/intervals_of_comparisons.py [--repeats 2000]   a minute

Made-up evaluations of known truth: 5 to 10 relations of unequal size, 24 to 440 facts, shares of
.02 to .98. Nominal: 95% coverage, at most 5% false alarms. Standard error of a figure: half
a point.

1. one model: macro for these relations, share over all facts
2. two models, the same facts: differences over these relations and over all facts; "alarms" where
   nothing changed on average; 2b where relations truly differ around no difference; 2c: a true
   difference as large as the comparison says it could see
3. all tests of one comparison after Holm: how often any of them alarms where nothing changed
4. the mean of some facts' numbers (drift, recall; t), and drift as a predictor of lost facts (area
   under the curve)

Shares and differences of a few facts are enumerated exactly in the tests; repeated trainings are in
`intervals_of_ladders.py`, the probe's recall and level in `interval_coverage.py`.
"""

from __future__ import annotations

import argparse
import functools
import gc
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import stats

from sixtyfold.core import rank_tests
from sixtyfold.core.paired_tests import (
    Difference,
    difference_of_new,
    holm,
    micro_difference,
    stratified_difference,
)
from sixtyfold.core.statistics import Estimate, macro, mean_and_half_width, wilson

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

SIZES: dict[str, tuple[int, ...]] = {
    "24 facts, 5 relations": (2, 3, 4, 6, 9),
    "60 facts, 6 relations": (4, 6, 8, 10, 12, 20),
    "150 facts, 10 relations": (5, 6, 8, 10, 12, 14, 15, 20, 25, 35),
    "240 facts, 8 relations": (10, 15, 20, 25, 30, 35, 45, 60),
    "440 facts, 7 relations": (20, 30, 40, 50, 70, 90, 140),
}
SHARES = {
    "all .02": (0.02, 0.02),
    ".02 to .30": (0.02, 0.30),
    "all .50": (0.5, 0.5),
    ".02 to .98": (0.02, 0.98),
    ".70 to .98": (0.70, 0.98),
}
#: share gained and share lost per relation, first and last; in between evenly
CHANGES = {
    "little: .02 both ways": ((0.02, 0.02), (0.02, 0.02)),
    "much: .20 both ways": ((0.2, 0.2), (0.2, 0.2)),
    "unequal: .01 to .30 both ways": ((0.01, 0.3), (0.01, 0.3)),
    "a gain: .05 to .50, lost .03": ((0.05, 0.5), (0.03, 0.03)),
    "a loss: .30 to .05, gained .02": ((0.02, 0.02), (0.3, 0.05)),
}
SPREADS = (0.05, 0.12)  # standard deviation of relations' true differences


def percent(share: float) -> str:
    """Return a share for a table."""
    return f"{100 * share:.1f}"


def holds(found: Sequence[Estimate | Difference | None], truth: float) -> float:
    """Return the share of intervals that hold the truth."""
    there = [each for each in found if each is not None]
    return float(np.mean([each.low - 1e-12 <= truth <= each.high + 1e-12 for each in there]))


def alarms(found: Sequence[Difference | None]) -> float:
    """Return the share of tests with p < 5%."""
    return float(np.mean([each.p < 0.05 for each in found if each is not None]))


def one_model(repeats: int) -> Iterator[list[str]]:
    """Yield coverage of the intervals of one model."""
    random = np.random.default_rng(1)
    wilson_of = functools.cache(wilson)  # many repeats give the same counts
    for design, sizes in SIZES.items():
        total = sum(sizes)
        for name, (first, last) in SHARES.items():
            shares = np.linspace(first, last, len(sizes))
            drawn = random.binomial(sizes, shares, (repeats, len(sizes)))
            these = [macro(hits, sizes) for hits in drawn.tolist()]
            over_all = [wilson_of(int(hits), total) for hits in drawn.sum(1)]
            micro = float(np.dot(shares, sizes)) / total
            yield [design, name, percent(holds(these, float(shares.mean()))),
                   percent(holds(over_all, micro))]  # fmt: skip


def drawn_changes(
    random: np.random.Generator, sizes: Sequence[int], gain: Floats, loss: Floats
) -> tuple[Counts, Counts]:
    """Draw facts gained and lost per relation; gain and loss [repeats, relations]."""
    up = random.binomial(sizes, gain)
    down = random.binomial(np.asarray(sizes) - up, loss / (1 - gain))
    return up, down


def two_models(repeats: int) -> Iterator[list[str]]:
    """Yield coverage and false alarms of the paired differences."""
    random = np.random.default_rng(2)
    micro_of = functools.cache(micro_difference)
    for design, sizes in SIZES.items():
        weights = np.asarray(sizes) / sum(sizes)
        for name, (up_range, down_range) in CHANGES.items():
            gain, loss = (np.linspace(*each, len(sizes)) for each in (up_range, down_range))
            up, down = drawn_changes(
                random, sizes, np.tile(gain, (repeats, 1)), np.tile(loss, (repeats, 1))
            )
            these = [stratified_difference(u, d, sizes) for u, d in zip(up, down, strict=True)]
            micro = [
                micro_of(int(u), int(d), sum(sizes))
                for u, d in zip(up.sum(1), down.sum(1), strict=True)
            ]
            null = name.endswith("both ways")
            yield [
                design,
                name,
                percent(holds(these, float((gain - loss).mean()))),
                percent(holds(micro, float(((gain - loss) * weights).sum()))),
                percent(alarms(these)) if null else "–",
                percent(alarms(micro)) if null else "–",
            ]


def new_relations(repeats: int) -> Iterator[list[str]]:
    """Yield coverage for the mean over relations of the kind, which are drawn as well."""
    random = np.random.default_rng(3)
    for design, sizes in SIZES.items():
        for spread in SPREADS:
            effect = np.clip(random.normal(0, spread, (repeats, len(sizes))), -0.24, 0.24)
            up, down = drawn_changes(random, sizes, 0.25 + effect / 2, 0.25 - effect / 2)
            pairs = list(zip(up, down, strict=True))
            new = [difference_of_new(u, d, sizes) for u, d in pairs]
            these = [stratified_difference(u, d, sizes) for u, d in pairs]
            yield [design, f"{spread}", percent(holds(new, 0.0)), percent(alarms(new)),
                   percent(alarms(these))]  # fmt: skip


def power(repeats: int) -> Iterator[list[str]]:
    """Yield how often a true difference as large as the median detectable one is found."""
    random = np.random.default_rng(7)
    for design, sizes in SIZES.items():
        for besides in (0.2, 0.01):
            nothing = compared(random, sizes, besides, 0.0, repeats)
            row = [design, f"{besides}"]
            for test in range(3):
                could_see = float(np.median([found[test].detectable for found in nothing]))
                there = compared(random, sizes, besides, min(could_see, 0.6), repeats)
                power = alarms([found[test] for found in there])
                row += [percent(could_see), percent(power) if could_see < 0.6 else "–"]
            yield row


def compared(
    random: np.random.Generator, sizes: Sequence[int], besides: float, shift: float, repeats: int
) -> list[list[Difference]]:
    """Draw comparisons with a true difference; return McNemar's, these, new for each."""
    loss = max(0.0, besides - shift / 2)
    rates = (np.full((repeats, len(sizes)), each) for each in (loss + shift, loss))
    up, down = drawn_changes(random, sizes, *rates)
    found = []
    for u, d in zip(up.tolist(), down.tolist(), strict=True):
        three = (
            micro_difference(sum(u), sum(d), sum(sizes)),
            stratified_difference(u, d, sizes),
            difference_of_new(u, d, sizes),
        )
        found.append([each for each in three if each is not None])
    return found


def families(repeats: int) -> Iterator[list[str]]:
    """Yield how often any test of a comparison alarms, nothing having changed."""
    random = np.random.default_rng(4)
    micro_of = functools.cache(micro_difference)
    for design, sizes in SIZES.items():
        half = len(sizes) // 2
        rate = np.full((repeats, len(sizes)), 0.15)
        up, down = drawn_changes(random, sizes, rate, rate)
        plain, adjusted = 0, 0
        for u, d in zip(up, down, strict=True):
            p_values = []
            for part in (slice(0, half), slice(half, None)):  # in and out of domain
                strata = (u[part].tolist(), d[part].tolist(), sizes[part])
                found = (
                    micro_of(sum(strata[0]), sum(strata[1]), sum(strata[2])),
                    stratified_difference(*strata),
                    difference_of_new(*strata),
                )
                p_values += [each.p for each in found if each is not None]
            plain += min(p_values) < 0.05
            adjusted += min(holm(p_values)) < 0.05
        yield [design, percent(plain / repeats), percent(adjusted / repeats)]


def mean_drift(repeats: int) -> Iterator[list[str]]:
    """Yield coverage of the t interval of a mean, of drift (skewed) and of recall (all or none)."""
    random = np.random.default_rng(5)
    shapes: dict[str, tuple[Callable[[tuple[int, int]], Floats], float]] = {
        "gamma, skewness 1.4": (lambda shape: random.gamma(2, 1, shape), 2.0),
        "exponential, skewness 2": (lambda shape: random.exponential(1, shape), 1.0),
        "log-normal, skewness 6": (lambda shape: random.lognormal(0, 1, shape), float(np.exp(0.5))),
        "recall": (lambda shape: random.beta(0.2, 0.6, shape), 0.25),
    }
    for facts in (20, 60, 240):
        row = [f"{facts}"]
        for draw, truth in shapes.values():
            found = [mean_and_half_width(values) for values in draw((repeats, facts))]
            row.append(percent(float(np.mean([abs(mean - truth) <= h for mean, h in found]))))
        yield row


def predictors(repeats: int) -> Iterator[list[str]]:
    """Yield coverage of the area's interval, and false alarms of the permutation test."""
    random = np.random.default_rng(6)
    for lost, kept in ((5, 20), (10, 50), (30, 200), (100, 60)):
        yes = np.arange(lost + kept) < lost
        row = [f"{lost} lost, {kept} kept"]
        for spread in (1.0, 3.0):
            for area in (0.5, 0.7, 0.9):
                shift = stats.norm.ppf(area) * np.sqrt(1 + spread**2)
                inside = 0
                rank_tests.PERMUTATIONS = 1
                for numbers in random.normal(size=(repeats, lost + kept)):
                    numbers[:lost] = shift + spread * numbers[:lost]
                    found = rank_tests.separation(numbers, yes)
                    assert found is not None  # noqa: S101
                    assert found.auc_low is not None  # noqa: S101
                    assert found.auc_high is not None  # noqa: S101
                    inside += found.auc_low <= area <= found.auc_high
                row.append(percent(inside / repeats))
        rank_tests.PERMUTATIONS = 199
        few = max(1, repeats // 2)
        raised = 0
        for study in range(few):
            found = rank_tests.separation(random.normal(size=lost + kept), yes, seed=study)
            raised += found is not None and found.p < 0.05
        yield [*row, percent(raised / few)]


def show(title: str, columns: Sequence[str], rows: Iterator[list[str]]) -> None:
    """Print a table as its rows are made."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    gc.freeze()  # statsmodels collects garbage in every Holm adjustment: 65 ms without this
    show("1. One model: coverage, %",
         ["design", "shares", "these relations", "all facts"],
         one_model(repeats))  # fmt: skip
    show("2. Two models: coverage and false alarms, %",
         ["design", "changes", "these relations", "all facts", "alarms, these", "alarms, McNemar"],
         two_models(repeats))  # fmt: skip
    show("2b. Relations differ truly around no difference, %",
         ["design", "spread", "coverage for new", "alarms for new", "alarms of 'these'"],
         new_relations(repeats))  # fmt: skip
    show("2c. Could see, points, and how often it was found, %",
         ["design", "both ways", "all facts", "found", "these", "found", "new", "found"],
         power(repeats))  # fmt: skip
    show("3. Any alarm among the six tests of a comparison, %",
         ["design", "unadjusted", "Holm"], families(repeats))  # fmt: skip
    show("4. A mean over facts: coverage of t, %",
         ["facts", "gamma", "exponential", "log-normal", "recall"],
         mean_drift(repeats))  # fmt: skip
    show("4b. Lost facts: coverage of the area's interval, %; lost spread 1 or 3 times as wide",
         ["", "1: .5", "1: .7", "1: .9", "3: .5", "3: .7", "3: .9", "alarms of p"],
         predictors(repeats))  # fmt: skip


if __name__ == "__main__":
    main()
