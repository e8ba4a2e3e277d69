"""Select: training sets with a receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.stages.select.choose import first, in_training_order
from sixtyfold.stages.select.pool import Pool, read_pool
from sixtyfold.stages.select.receipt import HeldOut, receipt
from sixtyfold.stages.select.rows import training_rows, write_files
from sixtyfold.stages.select.spec import SelectSpec


def run(spec: SelectSpec) -> Finished:
    """Choose training examples of the wanted levels.

    Returns:
        the stage with the tables `selection` (also `selection.jsonl`) and `dropped` and with
        `receipt.json`. A ladder (several sizes or replicas) is a folder of such stages, one in
        `replica-0/60` and so on, with the table `ladder`.

    Raises:
        BadInput: too few facts of these levels, or the probe has not what is asked for.
    """
    pool = read_pool(spec)
    if spec.is_ladder:
        return _ladder(pool, spec)
    chosen = chosen_sets(pool, spec)[0, spec.size]
    return _write(chosen, pool, HeldOut(pool.every_fact, spec.disjoint), spec)


def chosen_sets(pool: Pool, spec: SelectSpec) -> dict[tuple[int, str], pl.DataFrame]:
    """Return the facts of every set, by replica and size.

    Raises:
        BadInput: the pool has too few facts of the wanted levels.
    """
    allowed = _of_the_levels(pool, spec)
    if spec.slick is not None:
        allowed = allowed.filter(pl.col("slick").is_in(spec.slick.split(",")))
    if allowed.is_empty():
        raise BadInput(
            f"no fact of the pool of {pool.facts.height} is of --levels {spec.levels}"
            f"{f' and --slick {spec.slick}' if spec.slick else ''}; allow more of them"
        )
    if spec.mixture.shares is not None and "all" in spec.sizes:
        raise BadInput("--size all takes every fact, so no shares of --levels can hold; give one")
    found = {}
    for replica in range(spec.replicas):
        ordered = in_training_order(allowed, spec, spec.seed + replica, pool.relations)
        for size in spec.sizes:
            found[replica, size] = first(ordered, size, spec, pool.relations)
    return found


def _of_the_levels(pool: Pool, spec: SelectSpec) -> pl.DataFrame:
    """Return the facts of the pool that a set may hold."""
    if spec.probe is None:
        return pool.facts
    return pool.facts.filter(pl.col("level").is_in(spec.mixture.levels))


def _write(chosen: pl.DataFrame, pool: Pool, held_out: HeldOut, spec: SelectSpec) -> Finished:
    """Write one training set."""
    told = receipt(chosen, pool, held_out, spec)
    with open_stage("select", spec, pool.inputs) as stage:
        if stage.complete:
            return finished(spec.out, "select")
        stage.write_json("receipt", told)
        table = stage.write_table("selection", training_rows(chosen, spec))
        write_files(stage, table, spec)
        dropped = stage.write_table("dropped", pool.dropped)
        return stage.finish({"selection": table.height, "dropped": dropped.height})


def _ladder(pool: Pool, spec: SelectSpec) -> Finished:
    """Write every set of a ladder as a stage of its own, and the list of them."""
    sets = chosen_sets(pool, spec)
    held_out = HeldOut(pool.every_fact, spec.disjoint)
    with open_stage("select-ladder", spec, pool.inputs) as stage:
        if stage.complete:
            return finished(spec.out, "select-ladder")
        rows = []
        for (replica, size), chosen in sets.items():
            place = Path(f"replica-{replica}") / size
            one = {"size": size, "replicas": 1, "seed": spec.seed + replica}
            one_spec = spec.model_copy(update={**one, "out": spec.out / place})
            done = _write(chosen, pool, held_out, one_spec)
            rows.append(
                {
                    "replica": replica,
                    "size": chosen.height,
                    "path": str(place),
                    "seed": spec.seed + replica,
                    "fingerprint": done.fingerprint,
                    "short": len(done.json("receipt")["short"]),
                }
            )
        table = stage.write_table("ladder", pl.DataFrame(rows))
        return stage.finish({"ladder": table.height})


def plan(spec: SelectSpec) -> dict[str, Any]:
    """Return what a run would choose from, without writing; raises what `run` raises."""
    pool = read_pool(spec)
    sets = chosen_sets(pool, spec)
    allowed = _of_the_levels(pool, spec).height
    examples = {f"examples_{size}": rows.height for (_, size), rows in sets.items()}
    counted = examples if spec.is_ladder else {"examples": next(iter(sets.values())).height}
    return {
        "pool": pool.facts.height,
        "of_allowed_levels": allowed,
        "dropped": pool.dropped["fact_id"].n_unique(),
        **({"replicas": spec.replicas} if spec.replicas > 1 else {}),
        **counted,
    }
