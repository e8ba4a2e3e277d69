"""From the results of studies to cells: one training set, averaged over its seeds.

Knows the columns of `study results`. Sets can be compared within a block alone: one study, model,
recipe and size, so that they differ in nothing but how well the model knows their facts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

from sixtyfold.core.accuracy import LEAST_PER_LEVEL
from sixtyfold.core.errors import BadInput

CLASSES = {"level_0": (0,), "levels_1_2": (1, 2), "levels_3_4": (3, 4)}
"""Levels that count as one: never said, said in up to half of the draws, in more than half. The cut
at one half is the one between `weak` and `known` facts of `check`."""
CLASS_NAMES = tuple(CLASSES)
OUTCOMES = ("accuracy", "known")
"""On test facts of the relations trained on. accuracy: mean of the accuracies of the five levels,
which means the same whatever the supply of levels; known: accuracy on levels 3 and 4 together."""
BLOCK = ("study", "model", "recipe", "size")
NEEDED = ("study", "grid", "model", "seed", "size", "levels", "learning_rate", "options", "chosen",
          "role", "key", "measure", "domain", "part", "value", "n")  # fmt: skip
#: Options of select that say what to do about supply: sets made with and without may be compared.
_OF_SUPPLY = frozenset({"short"})
_TRAINING = ("study", "model", "recipe", "levels", "seed", "grid", "size_label", "learning_rate")


def used(results: pl.DataFrame) -> pl.DataFrame:
    """Return the rows and columns of a results table that cells are made of.

    Raises:
        BadInput: a column is missing.
    """
    missing = [name for name in NEEDED if name not in results.columns]
    if missing:
        raise BadInput(
            f"a results table lacks {', '.join(missing)}; "
            "give what 'sixtyfold study results --out' wrote"
        )
    of_level = pl.col("part").str.starts_with("level ").fill_null(value=False)
    sets = (pl.col("measure") == "examples") & (pl.col("part").is_null() | of_level)
    tested = (pl.col("role") == "test") & (pl.col("domain") == "in")
    whole = (pl.col("measure") == "macro_level") & pl.col("part").is_null()
    answered = tested & (whole | ((pl.col("measure") == "accuracy") & of_level))
    return results.select(NEEDED).filter(pl.col("levels").is_not_null() & (sets | answered))


def cells_of(results: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the cells that trainings asked on test make up.

    Args:
        results: tables as `sixtyfold study results --out` writes them.

    Returns:
        study, model, recipe (how they were trained, in words), size (examples), levels (as the
        study file names the set), seeds (how many), a share in 0..1 for each of `CLASSES`, and
        `OUTCOMES` in 0..1, null where test has fewer than 20 facts of a level it needs, and as
        accuracy_seeds and known_seeds a list, one number a training; sorted.

    Raises:
        BadInput: a column is missing, or two studies share a training.
    """
    rows = pl.concat([used(table) for table in results]).unique(maintain_order=True)
    rows = _with_recipe(rows).filter("chosen").rename({"size": "size_label"})
    trainings = _composition(rows).join(_accuracies(rows), on=_TRAINING, nulls_equal=True)
    trainings = trainings.sort(_TRAINING, nulls_last=True)  # sums in one order, to the last bit
    _refuse_doubled(trainings)
    # What two grids share stands once for each of them.
    trainings = trainings.unique(["study", "recipe", "key"], keep="first", maintain_order=True)
    kept = [*CLASS_NAMES, *OUTCOMES]
    return (
        trainings.group_by(*BLOCK, "levels", maintain_order=True)
        .agg(
            pl.len().alias("seeds"),
            pl.col(kept).mean(),
            *(pl.col(name).drop_nulls().alias(f"{name}_seeds") for name in OUTCOMES),
        )
        .sort(*BLOCK, "levels")
    )


def _refuse_doubled(trainings: pl.DataFrame) -> None:
    """Refuse trainings that several studies share: they would count as often."""
    studies = pl.col("study").unique().sort()
    shared = trainings.group_by("key").agg(studies).filter(pl.col("study").list.len() > 1)
    if not shared.is_empty():
        names = " and ".join(sorted(shared["study"].explode().unique()))
        raise BadInput(f"the studies {names} share {shared.height} trainings; give one of them")


def _with_recipe(rows: pl.DataFrame) -> pl.DataFrame:
    """Add how a training was made: its options, and the rates among which one was chosen."""
    options = {text: _told(text) for text in rows["options"].unique().to_list()}
    same = ["study", "grid", "model", "size", "levels", "options"]
    rates = rows.group_by(same).agg(pl.col("learning_rate").drop_nulls().unique().sort())
    words = rates.with_columns(
        pl.col("options").replace_strict(options, return_dtype=pl.String).alias("told"),
        pl.col("learning_rate").map_elements(_rates, return_dtype=pl.String).alias("rates"),
    ).with_columns(recipe=pl.concat_str("rates", "told", separator=""))
    return rows.join(words.select(*same, "recipe"), on=same)


def _told(options: str) -> str:
    kept = {name: value for name, value in json.loads(options).items() if name not in _OF_SUPPLY}
    return "".join(f", {name} {value}" for name, value in sorted(kept.items()))


def _rates(rates: pl.Series) -> str:
    listed = ", ".join(f"{rate:g}" for rate in rates)
    if len(rates) < 2:
        return f"learning rate {listed or 'of the defaults'}"
    return f"learning rate chosen on dev from {listed}"


def _composition(rows: pl.DataFrame) -> pl.DataFrame:
    """Return size and share of each class of every training set whose levels are known."""
    chosen = rows.filter(pl.col("measure") == "examples")
    whole = chosen.filter(pl.col("part").is_null())
    parts = chosen.filter(pl.col("part").is_not_null()).with_columns(
        level=pl.col("part").str.strip_prefix("level ").cast(pl.Int8)
    )
    shares = [
        (pl.col("value").filter(pl.col("level").is_in(levels)).sum() / pl.col("n").first()).alias(
            name
        )
        for name, levels in CLASSES.items()
    ]
    return parts.group_by(_TRAINING).agg(shares).join(
        whole.select(*_TRAINING, pl.col("value").cast(pl.Int64).alias("size")),
        on=_TRAINING,
        nulls_equal=True,
    )  # fmt: skip


def _accuracies(rows: pl.DataFrame) -> pl.DataFrame:
    """Return `OUTCOMES` of every training, with the key of its answers."""
    tested = rows.filter(pl.col("role") == "test")
    is_macro = pl.col("measure") == "macro_level"
    well = [f"level {level}" for level in CLASSES["levels_3_4"]]
    is_well = (pl.col("measure") == "accuracy") & pl.col("part").is_in(well)
    value, facts = pl.col("value").filter(is_well), pl.col("n").filter(is_well)
    enough = facts.sum() >= LEAST_PER_LEVEL
    return tested.group_by(_TRAINING).agg(
        pl.col("key").first(),
        pl.col("value").filter(is_macro).first().alias("accuracy"),
        pl.when(enough).then((value * facts).sum() / facts.sum()).alias("known"),
    )
