"""Do the bounds of a ladder of sizes hold, and does it conclude wrongly no more often than stated?

    python benchmarks/intervals_of_ladders.py [--repeats 2000]   three minutes

Made-up trainings of known quality: every fact has a difficulty, every training a quality that
varies with its set (`sets`, in logits). Nominal: each one-sided bound holds in 95%, at most 5%
false alarms. Standard error of a figure: half a point, in the second table 1 point.

1. two ways of training, three or five trainings each: bounds for new facts and new training sets
2. the whole conclusion: is a size wrongly called enough, is it wrongly said that more hurts?
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from intervals_of_comparisons import SIZES, percent, show
from numpy.typing import NDArray
from scipy import special

from sixtyfold.core.replicates import replicated_difference
from sixtyfold.workflows.ladder import answer, ladder_table


def two_trainings(
    random: np.random.Generator, sizes: Sequence[int], replicas: int, of_sets: float,
    centres: Sequence[float],
) -> list[NDArray[np.bool_]]:  # fmt: skip
    """Draw hits [replicas, facts] of each way: difficulties of facts, a quality of each training.

    Args:
        random: where draws come from.
        sizes: facts per relation.
        replicas: trainings of each way.
        of_sets: standard deviation of a training's quality, in logits.
        centres: mean logit of each way.
    """
    facts = random.normal(0, 1.5, sum(sizes))
    qualities = (random.normal(centre, of_sets, (replicas, 1)) for centre in centres)
    return [random.random((replicas, sum(sizes))) < special.expit(facts + q) for q in qualities]


def mean_share(centre: float, of_sets: float) -> float:
    """Return the probability of a hit, averaged over facts and trainings."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    shares = special.expit(centre + np.hypot(1.5, of_sets) * nodes)
    return float(shares @ weights / weights.sum())


def replicas(repeats: int) -> Iterator[list[str]]:
    """Yield how often the one-sided bounds hold, and the test's alarms where nothing differs."""
    random = np.random.default_rng(8)
    for design in ("60 facts, 6 relations", "150 facts, 10 relations", "440 facts, 7 relations"):
        sizes = SIZES[design]
        strata = np.repeat(np.arange(len(sizes)), sizes).astype(str).tolist()
        for count, of_sets in ((3, 0.0), (3, 0.3), (3, 0.8), (5, 0.3)):
            row = [design, f"{count}", f"{of_sets}"]
            for shift in (0.0, -0.6):
                ways = (0.5, 0.5 + shift)
                truth = mean_share(ways[1], of_sets) - mean_share(ways[0], of_sets)
                found = [
                    replicated_difference(before, after, strata)
                    for _ in range(repeats)
                    for before, after in [two_trainings(random, sizes, count, of_sets, ways)]
                ]
                lower = [each.lower <= truth for each in found]
                upper = [truth <= each.upper for each in found]
                row += [percent(float(np.mean(held))) for held in (lower, upper)]
                if shift == 0:
                    row.append(percent(float(np.mean([e.p_above_zero < 0.05 for e in found]))))
            yield row


def ladders(repeats: int) -> Iterator[list[str]]:
    """Yield how often a ladder errs: dev and test are asked of the same trainings.

    240, 480 and 960 examples are equally good, 120 exactly `delta` worse, 60 worse still.
    """
    random = np.random.default_rng(9)
    relations = (10, 15, 20, 25, 30, 40)
    sizes, centres = (60, 120, 240, 480, 960), (-0.5, 0.0, 0.5, 0.5, 0.5)
    split = sum(relations)
    strata = np.repeat(np.arange(len(relations)), relations).astype(str).tolist() * 2
    for of_sets in (0.3, 0.8):
        delta = mean_share(0.5, of_sets) - mean_share(0.0, of_sets)
        too_small, hurts = 0, 0
        for _ in range(repeats):
            hits = two_trainings(random, relations * 2, 3, of_sets, centres)
            rows = [
                pl.DataFrame({"hit": hit, "relation": strata}).with_columns(
                    fact_id=pl.format("f{}", pl.int_range(2 * split)),
                    split=pl.when(pl.int_range(2 * split) < split).then(pl.lit("dev"))
                    .otherwise(pl.lit("test")),
                    size=pl.lit(size), replica=pl.lit(replica), domain=pl.lit("in"),
                    level=pl.lit(None, pl.Int8), exact=pl.lit(False), ended=pl.lit(True),
                )
                for size, grid in zip(sizes, hits, strict=True)
                for replica, hit in enumerate(grid)
            ]  # fmt: skip
            told = answer(ladder_table(pl.concat(rows), dict.fromkeys(sizes, 1e-4), delta), delta)
            too_small += told["enough"] < 240
            hurts += told["hurts"] != []
        yield [f"{of_sets}", percent(delta), percent(too_small / repeats), percent(hurts / repeats)]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=2000)
    repeats = parser.parse_args().repeats
    show("1. Trainings repeated: how often a bound holds, %; sets: spread of trainings, in logits",
         ["design", "trainings", "sets", "equal: low", "equal: high", "alarms of p", "worse: low",
          "worse: high"], replicas(repeats))  # fmt: skip
    show("2. Ladder of sizes: wrongly enough, wrongly 'more hurts', %",
         ["sets", "delta, points", "too small", "hurts"], ladders(repeats // 5))  # fmt: skip


if __name__ == "__main__":
    main()
