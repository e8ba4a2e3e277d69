"""The ways of training of a study: trainings that differ in nothing but their seed.

Read from the cells of a study, without its file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from sixtyfold.study.any_store import Store
from sixtyfold.study.results import telling

LABELS = ("model", "grid", "size", "levels", "options")
"""What tells ways of training apart."""

_JOB = ("model", "size", "levels", "options", "seed", "role")


class Way(NamedTuple):
    """Trainings that differ in nothing but their seed.

    labels: `LABELS` to words; options hold what the cells do not share. Grids that train alike are
        one, called by all their names.
    jobs: role to seed to the key of the result; roles and seeds without a result are left out.
    examples: how many there were, mean over the seeds.
    dev: accuracy on dev (in-domain, mean over relations and seeds); None where there is none.
    untuned: key of the test answers of the untuned model, asked in the way that did best on dev.
    """

    labels: dict[str, str]
    jobs: dict[str, dict[int, str]]
    examples: float
    dev: float | None
    untuned: str | None

    @property
    def test(self) -> dict[int, str]:
        """Seed to key of the answers on test."""
        return self.jobs.get("test", {})


def read_ways(store: Store, cells: pl.DataFrame, numbers: pl.DataFrame) -> Iterator[Way]:
    """Yield the ways that have answers on test, in order of model, grid, examples and levels.

    Args:
        store: where the results lie.
        cells: one row per cell and role, with `done`.
        numbers: cells joined with every number.
    """
    trained = cells.filter(pl.col("chosen") & pl.col("size").is_not_null() & pl.col("done"))
    trained = _joined(_named(trained), cells)
    examples = _means(numbers, (pl.col("measure") == "examples") & pl.col("part").is_null())
    dev = _means(
        numbers,
        (pl.col("measure") == "macro_relation") & (pl.col("domain") == "in")
        & (pl.col("split") == "dev") & pl.col("part").is_null(),
    )  # fmt: skip
    found = []
    for labels, rows in trained.group_by(*LABELS, maintain_order=True):
        jobs: dict[str, dict[int, str]] = defaultdict(dict)
        for role, seed, key in rows.select("role", "seed", "key").iter_rows():
            jobs[role][seed] = key
        if "test" not in jobs:
            continue
        count = _mean(examples, jobs.get("select", {}))
        words = {name: str(label or "") for name, label in zip(LABELS, labels, strict=True)}
        before = _untuned_of(store, jobs.get("compare", {}))
        size = count if count is not None else float(words["size"])
        found.append(Way(words, dict(jobs), size, _mean(dev, jobs.get("dev", {})), before))
    order = {name: place for place, name in enumerate(trained["grid"].unique(maintain_order=True))}
    yield from sorted(
        found,
        key=lambda way: (way.labels["model"], order[way.labels["grid"]], way.examples,
                         way.labels["levels"], way.labels["options"]),
    )  # fmt: skip


def _named(trained: pl.DataFrame) -> pl.DataFrame:
    """Put options as words; where a rate was not chosen but asked for, it is one of them."""
    rows = trained.with_columns(options=telling(trained["options"]))
    one = ("model", "grid", "size", "levels", "options", "seed", "role")
    several = pl.len().over(*one) > 1
    rate = pl.lit("learning rate ") + pl.col("learning_rate").cast(pl.String)
    asked = pl.when(several.any().over("grid")).then(rate).otherwise(pl.lit(""))
    both = pl.concat_str("options", asked, separator=", ").str.strip_chars(", ")
    return rows.with_columns(options=both)


def _joined(trained: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Call grids that train alike by one name, so that a training stands once.

    They are alike where they try the same learning rates and none has another result for a training
    that both hold; all else that a study sets stands in size, levels and options.
    """
    rates = cells.filter(pl.col("size").is_not_null()).group_by("grid", maintain_order=True)
    tried: dict[tuple[float, ...], list[str]] = defaultdict(list)
    for grid, each in rates.agg(pl.col("learning_rate").unique().sort()).iter_rows():
        tried[tuple(each)].append(grid)
    names: dict[str, str] = {}
    for grids in tried.values():
        same = trained.filter(pl.col("grid").is_in(grids)).group_by(_JOB)
        if (same.agg(pl.col("key").n_unique())["key"] <= 1).all():
            names |= dict.fromkeys(grids, " + ".join(grids))
    return trained.with_columns(pl.col("grid").replace(names))


def _means(numbers: pl.DataFrame, wanted: pl.Expr) -> dict[str, float]:
    rows = numbers.filter(wanted).select("key", "value").drop_nulls()
    return dict(rows.iter_rows())


def _mean(values: dict[str, float], keys: dict[int, str]) -> float | None:
    known = [values[key] for key in keys.values() if key in values]
    return sum(known) / len(known) if known else None


def _untuned_of(store: Store, compared: dict[int, str]) -> str | None:
    """Return the key of the answers that comparisons start from; they are the same in all seeds."""
    for key in compared.values():
        return str(store.record(key).reads["before"])
    return None
