"""A made-up store: answers follow a known truth, so a report on it has known contents.

A fact of level k is answered with a chance that grows with k. Tuning adds to it, more examples add
a little, training facts of level 0 take away. Everything else of a result is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import open_stage
from sixtyfold.study.columns import CELLS_SCHEMA
from sixtyfold.study.jobs import Job
from sixtyfold.study.numbers import numbers_of
from sixtyfold.study.open_store import open_store

KNOWN = (0.02, 0.2, 0.45, 0.7, 0.9)
LEVELS = ("natural", "0", "2", "4")
GAIN = {"natural": 0.05, "0": -0.15, "1": 0.0, "2": 0.08, "4": 0.02}


class Truth(NamedTuple):
    """What is added to the chance of a hit.

    levels: by what was trained on; doubling: by every doubling of the examples; untuned: to the
    better-prompted untuned model; repair: by restoring.
    """

    levels: Mapping[str, float] = MappingProxyType(GAIN)
    doubling: float = 0.01
    untuned: float = -0.1
    repair: float = 0.1


class Grid(NamedTuple):
    """What is trained: every model × size × levels × seed; with a search or diff of each or not."""

    models: Sequence[str] = ("small",)
    sizes: Sequence[int] = (60, 240, 960)
    levels: Sequence[str] = LEVELS
    seeds: int = 2
    search: bool = False
    diff: bool = False
    truth: Truth = Truth()


class AnySpec(StageSpec):
    """A spec that records only what made-up results need."""

    split: str = "test"


class _Study:
    def __init__(self, url: str, name: str, facts: int) -> None:
        self.store = open_store(url)
        self.name = name
        self.cells: list[tuple[Any, ...]] = []
        self.asked = {split: _facts(facts, split) for split in ("dev", "test")}
        self.made = 0

    def add(self, stage: str, reads: dict[str, Any], tables: dict[str, pl.DataFrame],
            files: dict[str, Any] | None = None, split: str = "test") -> str:  # fmt: skip
        self.made += 1
        job = Job(f"{self.made:016x}", stage, {}, reads)
        spec = AnySpec(out=self.store.place(job), split=split)
        with open_stage(stage, spec, {name: str(key) for name, key in reads.items()}) as directory:
            for key, table in tables.items():
                directory.write_table(key, table)
            for key, value in (files or {}).items():
                directory.write_json(key, value)
            result = directory.finish({key: table.height for key, table in tables.items()})
        self.store.save(job, result, numbers_of(result), 1.0)
        return job.key

    def answers(self, gain: float, seed: int, split: str) -> str:
        table = _answers(self.asked[split], gain, seed)
        return self.add("evaluate", {}, {"answers": table}, split=split)

    def cell(self, labels: dict[str, Any], jobs: dict[str, tuple[str, str]]) -> None:
        own = ("grid", "model", "seed", "size", "levels", "learning_rate")
        for role, (stage, key) in jobs.items():
            row = (self.name, *(labels.get(name) for name in own), True, "{}", role, stage, key)
            self.cells.append(row)


def build_study(root: Path, name: str = "made-up", facts: int = 200, grid: Grid | None = None,
                about: str = "How many examples?") -> Path:  # fmt: skip
    """Write a store with one finished study and return its directory."""
    write_study(str(root), name, facts, grid or Grid(), about)
    return root


def write_study(url: str, name: str, facts: int, grid: Grid, about: str = "") -> None:
    """Write a finished study into the store at an address."""
    study = _Study(url, name, facts)
    for model in grid.models:
        untuned = {}
        for number, way in enumerate(("base", "base, 4 examples")):
            gain = grid.truth.untuned - 0.1 * (1 - number)
            keys = {split: study.answers(gain, 7, split) for split in ("dev", "test")}
            study.cell({"grid": way, "model": model},
                       {role: ("evaluate", key) for role, key in keys.items()})  # fmt: skip
            untuned = keys
        for labels in _trainings(model, grid):
            study.cell(labels, dict(_jobs(study, labels, untuned["test"], grid)))
    table = pl.DataFrame(study.cells, schema=CELLS_SCHEMA, orient="row")
    study.store.write_cells(name, table)
    definition = {"name": name, "about": about, "models": list(grid.models)}
    study.store.write_definition(name, {"file": "s.yaml", "host": "h", "study": definition})


def _trainings(model: str, grid: Grid) -> Iterator[dict[str, Any]]:
    for size in grid.sizes:
        for level in grid.levels:
            for seed in range(grid.seeds):
                yield {"grid": "sizes", "model": model, "seed": seed, "size": str(size),
                       "levels": level, "learning_rate": 1e-4}  # fmt: skip


def _jobs(
    study: _Study, labels: dict[str, Any], untuned: str, grid: Grid
) -> Iterator[tuple[str, tuple[str, str]]]:
    size, seed = int(labels["size"]), int(labels["seed"])
    truth = grid.truth
    gain = truth.levels[labels["levels"]] + truth.doubling * float(np.log2(size / 60))
    chosen = pl.DataFrame({"level": [1] * size, "relation": ["r0"] * size})
    yield "select", ("select", study.add("select", {}, {"selection": chosen}))
    yield "dev", ("evaluate", study.answers(gain, seed, "dev"))
    tested = study.answers(gain, seed, "test")
    yield "test", ("evaluate", tested)
    sides = {"before": untuned, "after": tested}
    compared = study.add("compare", sides, {"transitions": _NO_STATES},
                         {"comparison": {"domains": {}}})  # fmt: skip
    yield "compare", ("compare", compared)
    drift = {"split": ["all"], "group": ["all"], "measure": ["kl_top10"],
             "mean": [0.1 + size / 1000 + seed / 100], "low": [0.0], "high": [0.2],
             "n": [20]}  # fmt: skip
    summary = pl.DataFrame(drift, schema_overrides={"group": pl.String})
    yield "drift", ("drift", study.add("drift", {}, {"drift_summary": summary}))
    if grid.diff:
        yield "diff", ("diff", _diff(study, size, seed))
    if grid.search:
        yield "search", ("search", _search(study, gain, truth.repair, seed, tested))


_NO_STATES = pl.DataFrame(schema={"domain": pl.String, "state": pl.String})


def _diff(study: _Study, size: int, seed: int) -> str:
    """The top weights hold a little more with every seed; the null a tenth of a point less."""
    shares = [
        {"measure": measure, "top_percent": top, "share": share, "null_permutation": share - 0.001,
         "null_gaussian": share / 2, "weights": 100}
        for measure, part in (("relative", 0.5), ("absolute", 0.1))
        for top, held in ((1.0, part), (20.0, part + 0.3))
        for share in [held + size / 10000 + seed / 100]
    ]  # fmt: skip
    names = ("share_changed", "sum_abs", "sum_relative", "update_norm", "base_norm")
    changes = {**dict.fromkeys(names, 1.0), "weights": 100}
    return study.add("diff", {}, {"concentration": pl.DataFrame(shares)}, {"changes": changes})


def _search(study: _Study, gain: float, repair: float, seed: int, tuned: str) -> str:
    arms = {"tuned": gain, "relative": gain + repair, "interpolation": gain + 0.02}
    asked = [
        _answers(study.asked["test"], arm_gain, seed)
        .select("fact_id", "relation", "domain", "hit")
        .with_columns(arm=pl.lit(arm))
        for arm, arm_gain in arms.items()
    ]
    rows = {"family": ["relative"], "setting": ["5%"], "accuracy": [0.5], "low": [0.4],
            "high": [0.6], "n": [100]}  # fmt: skip
    tables = {"candidates": pl.DataFrame(rows), "test_answers": pl.concat(asked)}
    return study.add("search", {"tuned": tuned}, tables)


def _facts(count: int, split: str) -> pl.DataFrame:
    number = np.arange(count)
    return pl.DataFrame(
        {
            "fact_id": [f"{split}-{n:06d}" for n in number],
            "relation": [f"r{n % 6}" for n in number],
            "domain": np.where(number % 6 < 4, "in", "out"),
            "split": [split] * count,
            "level": pl.Series((number // 6) % 5, dtype=pl.Int8),
            "prompt": [f"Which r{n % 6} has thing {n}?" for n in number],
        }
    )


def _answers(facts: pl.DataFrame, gain: float, seed: int) -> pl.DataFrame:
    """Fact i is answered where its luck, half its own and half the seed's, is below its chance."""
    shared = np.random.default_rng(1).random(facts.height)
    own = np.random.default_rng(100 + seed).random(facts.height)
    luck = np.where(own < 0.1, own * 10, shared)
    hit = luck < np.array(KNOWN)[facts["level"].to_numpy()] + gain
    return facts.with_columns(
        answer=pl.lit("something"), hit=pl.Series(hit), exact=pl.Series(hit),
        f1=pl.Series(hit.astype(float)), ended=pl.lit(value=True),
    ).select(list(ANSWERS_SCHEMA)).cast(ANSWERS_SCHEMA)  # fmt: skip
