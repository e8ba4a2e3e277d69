"""Studies whose truth is known: how accuracy follows from the levels of a training set."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from sixtyfold.workflows.check.knowledge import BUCKETS

LEVELS = ("natural", "0", "1", "2", "3", "4")
NATURAL = (0.5, 0.2, 0.1, 0.1, 0.1)
RECIPE = "learning rate chosen on dev from 0.0001, 0.0003"
#: Model and study to its sizes, each with the kinds of sets there are of it.
DESIGN: dict[tuple[str, str], dict[int, tuple[str, ...]]] = {
    ("embedded", "entities"): {60: LEVELS, 240: LEVELS[:4]},
    ("embedded", "atlas"): {60: LEVELS},
    **{(f"planted-{kind}", "planted"): {60: LEVELS, 240: LEVELS} for kind in "abc"},
}


class Truth(NamedTuple):
    """What accuracy is made of, besides what a block adds to all of its sets.

    slopes: points of accuracy (0..1) per share of facts of level 0, and of levels 1 and 2.
    by_model: standard deviation of each model's own slopes around them.
    by_set: of what each kind of set adds in one model whatever its size.
    noise: of every cell, its seeds averaged.
    by_seed: of every training around its cell.
    """

    slopes: tuple[float, float] = (0.0, 0.0)
    by_model: float = 0.0
    by_set: float = 0.0
    noise: float = 0.015
    by_seed: float = 0.02


def shares_of(levels: str) -> tuple[float, float, float]:
    """Return the shares of level 0, levels 1 and 2, levels 3 and 4."""
    each = NATURAL if levels == "natural" else tuple(float(str(at) == levels) for at in range(5))
    return each[0], each[1] + each[2], each[3] + each[4]


def made_up_cells(
    truth: Truth,
    seed: int,
    design: dict[tuple[str, str], dict[int, tuple[str, ...]]] = DESIGN,
) -> pl.DataFrame:
    """Return cells as `cells_of` does; both outcomes follow the truth, each with its own noise."""
    rng, of_seeds = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    models = sorted({model for model, _ in design})
    slopes = {model: np.array(truth.slopes) + truth.by_model * rng.normal(size=2)
              for model in models}  # fmt: skip
    sets = {(model, kind): truth.by_set * rng.normal() for model in models for kind in LEVELS}
    rows = []
    for (model, study), sizes in design.items():
        for size, kinds in sizes.items():
            block = 0.4 + 0.1 * rng.normal()
            for kind in kinds:
                shares = shares_of(kind)
                mean = block + np.array(shares[:2]) @ slopes[model] + sets[model, kind]
                accuracy, known = mean + truth.noise * rng.normal(size=2)
                apart = truth.by_seed * of_seeds.normal(size=3)
                apart -= apart.mean()
                rows.append((study, model, RECIPE, size, kind, 3, *shares, accuracy, known,
                             list(accuracy + apart), list(known + apart)))  # fmt: skip
    names = ["study", "model", "recipe", "size", "levels", "seeds",
             "level_0", "levels_1_2", "levels_3_4", "accuracy", "known",
             "accuracy_seeds", "known_seeds"]  # fmt: skip
    return pl.DataFrame(rows, schema=names, orient="row").sort(names[:5])


def _level_shares(levels: str) -> dict[str, float]:
    each = NATURAL if levels == "natural" else [float(str(at) == levels) for at in range(5)]
    return {f"level_{at}": share for at, share in enumerate(each)}


def made_up_asked(
    told: Callable[[str], tuple[float, float, float]], model: str, study: str
) -> pl.DataFrame:
    """Return what questions say of each kind of set, as `benchmarks/ask_training_sets.py` writes.

    Args:
        told: kind of set to the shares of unknown, weak and known facts.
    """
    rows: list[dict[str, Any]] = [
        {
            "study": study, "model": model, "levels": levels, "facts": 200, "protocol": "{}",
            "fingerprint": "f", **_level_shares(levels),
            **dict(zip(BUCKETS, told(levels), strict=True)),
        }
        for levels in LEVELS
    ]  # fmt: skip
    return pl.DataFrame(rows)


LINK = np.array([[0.8, 0.4, 0.1], [0.15, 0.35, 0.2], [0.05, 0.25, 0.7]])
"""Buckets of questions (rows) of facts of each class (columns), in a model that can be asked."""


def by_link(levels: str) -> tuple[float, float, float]:
    """Return the shares that `LINK` gives."""
    unknown, weak, known = LINK @ np.array(shares_of(levels))
    return float(unknown), float(weak), float(known)


def as_results(cells: pl.DataFrame, seeds: int = 2, tested: int = 100) -> pl.DataFrame:
    """Return cells as `sixtyfold study results --out` writes them, two rates a cell.

    Args:
        cells: of `made_up_cells`.
        seeds: trainings of each; the first is as much above the cell as the last is below.
        tested: test facts of each level.
    """
    rows: list[dict[str, Any]] = []
    for number, cell in enumerate(cells.iter_rows(named=True)):
        for seed in range(seeds):
            shift = 0.01 * (1 - 2 * seed / (seeds - 1))
            for rate in (1e-4, 3e-4):
                labels = {
                    "study": cell["study"], "grid": "sets", "model": cell["model"], "seed": seed,
                    "size": str(cell["size"]), "levels": cell["levels"], "learning_rate": rate,
                    "chosen": rate == 1e-4, "options": json.dumps({"short": "fill"}),
                    "key": f"{cell['study']}-{number}-{seed}-{rate}",
                }  # fmt: skip
                rows += [{**labels, **each} for each in _numbers(cell, shift, tested)]
    return pl.DataFrame(rows)


def _numbers(cell: dict[str, Any], shift: float, tested: int) -> list[dict[str, Any]]:
    def number(role: str, measure: str, value: float, n: int, **place: Any) -> dict[str, Any]:
        found = {"role": role, "measure": measure, "value": value, "n": n}
        return {**found, "domain": None, "part": None, **place}

    size = cell["size"]
    counts = {"level 0": cell["level_0"], "level 2": cell["levels_1_2"],
              "level 4": cell["levels_3_4"]}  # fmt: skip
    rows = [number("select", "examples", float(size), size)]
    rows += [number("select", "examples", share * size, size, part=part)
             for part, share in counts.items() if share]  # fmt: skip
    rows.append(number("dev", "macro_level", 0.0, tested, domain="in"))
    for domain, value in (("in", cell["accuracy"] + shift), ("out", 0.0)):
        rows.append(number("test", "macro_level", value, 5 * tested, domain=domain))
        rows += [
            number("test", "accuracy", cell["known"] + shift + add, tested,
                   domain=domain, part=f"level {level}")
            for level, add in ((3, -0.05), (4, 0.05))
        ]  # fmt: skip
    return rows
