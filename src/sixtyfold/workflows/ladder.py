"""How many examples: train every set of a ladder and compare sizes.

A ladder (`sixtyfold select --size 60,120,240 --replicas 3`) holds nested sets, several chains of
them. Every set is trained, asks the dev and test facts, and its checkpoint is removed. Then:

  1. Per size the learning rate of highest dev accuracy, tried on replica 0 (`--learning-rates`).
  2. The best size: highest dev accuracy, mean over replicas; of equal ones the smallest.
  3. On test, the distance of every smaller size to the best, paired by fact and replica, with a
     one-sided 95% upper bound. Going down from the best, sizes are enough while their bound is
     under `--delta`; the first that is not ends the search (a fixed sequence of tests, which
     needs no correction). The last that is enough is the answer.
  4. On test, whether each larger size is worse than the best: one-sided p, Holm over them.

The best size is chosen on dev and compared on test. The same trainings answer both, so where
training sets differ much the luck of the best one carries over: how often a conclusion is wrong is
measured by `benchmarks/intervals_of_ladders.py` (docs/how_many_examples.md). What is read off test
is an answer about sizes; the kept checkpoint was chosen on it (docs/decisions/011).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sixtyfold.core.accuracy import accuracy
from sixtyfold.core.errors import BadInput, IncompleteInput
from sixtyfold.core.paired_tests import holm
from sixtyfold.core.replicates import Replicated, replicated_difference
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.core.statistics import ALPHA
from sixtyfold.stages.tune import run as tune
from sixtyfold.workflows.card_numbers import put_chosen_numbers
from sixtyfold.workflows.several_trainings import (
    best_rate,
    inputs_of,
    questions,
    rate_scores,
    trained_answers,
)
from sixtyfold.workflows.tuning_spec import TuningSpec

FEWEST_REPLICAS = 3


class Cell(NamedTuple):
    """One training: a set of the ladder and a learning rate."""

    size: int
    replica: int
    path: str
    learning_rate: float


def run_ladder(spec: TuningSpec) -> Finished:
    """Train the sets of a ladder and say how many examples are enough.

    Returns:
        the stage `tune-ladder` with the tables `ladder` (one row a size) and `answers` (one row a
        fact and training), with `chosen.json`, and the checkpoint of the smallest sufficient size,
        replica 0, in `tuned`.

    Raises:
        BadInput: `--selection` is no ladder, a size is not in it, or it has too few replicas.
    """
    ladder = _ladder(spec.selection)
    sets = wanted_sets(ladder.table("ladder"), spec)
    facts = questions(spec, ("dev", "test"))
    with open_stage("tune-ladder", spec, inputs_of(spec, ladder)) as stage:
        if stage.complete:
            return finished(spec.out, "tune-ladder")

        def trained(cell: Cell) -> pl.DataFrame:
            answers = trained_answers(
                stage, spec, spec.selection / cell.path, cell.learning_rate, facts
            )
            return answers.with_columns(
                size=pl.lit(cell.size),
                replica=pl.lit(cell.replica),
                learning_rate=pl.lit(cell.learning_rate),
            )

        first = sets.filter(pl.col("replica") == 0)
        tries = _cells(first, dict.fromkeys(first["size"], spec.rates))
        tried = pl.concat(stage.make_parts("tries", tries, trained, "replica 0"))
        rates = chosen_rates(tried)
        others = sets.filter(pl.col("replica") > 0)
        rest = _cells(others, {size: (rate,) for size, rate in rates.items()})
        trained_rest = stage.make_parts("rest", rest, trained, "replicas")
        answers = stage.write_table("answers", pl.concat([tried, *trained_rest]))
        used = pl.concat([_of_rates(tried, rates), *trained_rest])
        table = stage.write_table("ladder", ladder_table(used, rates, spec.delta / 100))
        chosen = answer(table, spec.delta)
        stage.write_json("chosen", chosen)
        size = chosen["enough"]
        path = first.filter(pl.col("size") == size)["path"][0]
        options = {"selection": spec.selection / path, "learning_rate": rates[size]}
        tuned = tune.run(spec.stage(**options, out=spec.out / "tuned"))
        its_own = (pl.col("size") == size) & (pl.col("replica") == 0)
        put_chosen_numbers(tuned.path, used.filter(its_own))
        return stage.finish({"ladder": table.height, "answers": answers.height})


def _ladder(selection: Path) -> Finished:
    """Open a ladder of training sets.

    Raises:
        IncompleteInput: it is none, or not finished.
    """
    if (selection / "selection.parquet").is_file():
        raise IncompleteInput(
            f"--ladder was given and {selection} holds one training set; 'sixtyfold select' writes "
            "several with --size 60,120,240"
        )
    return finished(selection, "select-ladder")


def plan_ladder(spec: TuningSpec) -> dict[str, Any]:
    """Return what a ladder would do, without doing it; raises what `run_ladder` raises."""
    sets = wanted_sets(_ladder(spec.selection).table("ladder"), spec)
    asked = questions(spec, ("dev", "test")).height
    sizes = sets["size"].unique()
    trainings = sets.height + len(sizes) * (len(spec.rates) - 1)
    plans = {
        size: tune.plan(spec.stage(selection=spec.selection / path, learning_rate=spec.rates[0]))
        for size, path in sets.filter(pl.col("replica") == 0).select("size", "path").iter_rows()
    }
    times = {size: (sets["size"] == size).sum() + len(spec.rates) - 1 for size in sizes}
    seconds = sum(plans[size]["estimated_seconds"] * times[size] for size in plans)
    return {
        "sizes": ", ".join(map(str, sorted(sizes))),
        "replicas": sets["replica"].n_unique(),
        "trainings": trainings + 1,
        "questions": trainings * asked,
        "estimated_training_seconds": round(seconds),
    }


def wanted_sets(ladder: pl.DataFrame, spec: TuningSpec) -> pl.DataFrame:
    """Return the sets to train: columns size, replica, path.

    Raises:
        BadInput: a size is not in the ladder, there are fewer than two, or too few replicas.
    """
    there = sorted(ladder["size"].unique())
    asked = map(str, there) if spec.ladder == "all" else str(spec.ladder).split(",")
    try:
        sizes = sorted({int(each) for each in asked})
    except ValueError:
        raise BadInput(
            f"--ladder was given '{spec.ladder}': allowed are sizes as 60,120,240, or all"
        ) from None
    missing = [size for size in sizes if size not in there]
    if missing or len(sizes) < 2:
        what = f"has no set of {missing[0]}" if missing else "needs two sizes to compare"
        raise BadInput(
            f"--ladder {spec.ladder}: {spec.selection} {what}; it holds "
            f"{', '.join(map(str, there))}; others are made by 'sixtyfold select --sizes'"
        )
    replicas = ladder["replica"].n_unique()
    if replicas < FEWEST_REPLICAS:
        raise BadInput(
            f"{spec.selection} has {replicas} replicas, and the sets of one size differ: at least "
            f"{FEWEST_REPLICAS} are needed ('sixtyfold select --replicas {FEWEST_REPLICAS}')"
        )
    return ladder.filter(pl.col("size").is_in(sizes)).select("size", "replica", "path")


def _cells(sets: pl.DataFrame, rates: dict[int, tuple[float, ...]]) -> list[Cell]:
    return [
        Cell(size, replica, path, rate)
        for size, replica, path in sets.sort("size", "replica").iter_rows()
        for rate in rates[size]
    ]


def chosen_rates(tried: pl.DataFrame) -> dict[int, float]:
    """Return the best learning rate on dev of each size."""
    return {
        size: best_rate(rate_scores(own))
        for (size,), own in tried.group_by("size", maintain_order=True)
    }


def _of_rates(tried: pl.DataFrame, rates: dict[int, float]) -> pl.DataFrame:
    chosen = pl.DataFrame({"size": list(rates), "learning_rate": list(rates.values())})
    return tried.join(chosen.cast({"size": tried.schema["size"]}), on=["size", "learning_rate"],
                      how="semi", maintain_order="left")  # fmt: skip


def ladder_table(answers: pl.DataFrame, rates: dict[int, float], delta: float) -> pl.DataFrame:
    """Compare the sizes.

    Args:
        answers: answers of every size and replica to the dev and test facts, one rate each.
        rates: learning rate of each size.
        delta: share that a sufficient size may be below the best.

    Returns:
        one row a size, sorted: size, replicas, learning_rate, dev (macro in-domain accuracy, mean
        over replicas), test, test_out, best, below_best (distance on test), low, high (one-sided
        95% bounds of it, null for the best), enough, p_worse (Holm, of sizes above the best).
    """
    sizes = sorted(rates)
    dev = {size: _mean(answers, size, "dev", "in") for size in sizes}
    best = max(sizes, key=lambda size: (dev[size], -size))
    grids = {size: _grid(answers, size) for size in sizes}
    strata = _strata(answers)
    distances: dict[int, Replicated] = {
        size: replicated_difference(grids[size], grids[best], strata)
        for size in sizes
        if size != best
    }
    enough = {best}
    for size in reversed([each for each in sizes if each < best]):
        if distances[size].upper >= delta:
            break
        enough.add(size)
    larger = [size for size in sizes if size > best]
    worse = dict(zip(larger, holm([distances[s].p_above_zero for s in larger]), strict=True))
    return pl.DataFrame(
        [
            {
                "size": size,
                "replicas": len(grids[size]),
                "learning_rate": rates[size],
                "dev": dev[size],
                "test": _mean(answers, size, "test", "in"),
                "test_out": _mean(answers, size, "test", "out"),
                "best": size == best,
                "below_best": distances[size].value if size in distances else 0.0,
                "low": distances[size].lower if size in distances else None,
                "high": distances[size].upper if size in distances else None,
                "enough": size in enough,
                "p_worse": worse.get(size),
            }
            for size in sizes
        ],
        schema_overrides={"test_out": pl.Float64, "low": pl.Float64, "high": pl.Float64,
                          "p_worse": pl.Float64},
    )  # fmt: skip


def answer(table: pl.DataFrame, delta: float) -> dict[str, Any]:
    """Return the smallest sufficient size, the best, and the sizes at which more hurts."""
    return {
        "enough": int(table.filter(pl.col("enough"))["size"].min()),  # type: ignore[arg-type]
        "best": int(table.filter(pl.col("best"))["size"][0]),
        "hurts": table.filter(pl.col("p_worse") < ALPHA)["size"].to_list(),
        "delta_points": delta,
    }


def _of(answers: pl.DataFrame, size: int, split: str, domain: str) -> pl.DataFrame:
    return answers.filter(
        (pl.col("size") == size) & (pl.col("split") == split) & (pl.col("domain") == domain)
    )


def _mean(answers: pl.DataFrame, size: int, split: str, domain: str) -> float | None:
    """Return the macro accuracy over relations, mean over replicas."""
    macros = [
        accuracy(own).macro_relation
        for _, own in _of(answers, size, split, domain).group_by("replica", maintain_order=True)
    ]
    values = [each.value for each in macros if each is not None]
    return float(np.mean(values)) if values else None


def _grid(answers: pl.DataFrame, size: int) -> NDArray[np.bool_]:
    """Return hits [replicas, facts] on the in-domain test facts, in key order."""
    rows = _of(answers, size, "test", "in").sort("replica", "fact_id")
    return rows["hit"].to_numpy().reshape(rows["replica"].n_unique(), -1)


def _strata(answers: pl.DataFrame) -> list[str]:
    rows = answers.filter((pl.col("split") == "test") & (pl.col("domain") == "in"))
    return rows.unique("fact_id").sort("fact_id")["relation"].to_list()
