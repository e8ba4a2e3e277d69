"""The diff stage: a pair of checkpoints in, tables of what changed out.

`weight_changes` (one row per tensor), `concentration` (shares of the top weights next to their
nulls), `places` (where the top weights lie) and `changes.json` (the region as a whole).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.checkpoint_pair import CheckpointPair, PairedTensor, open_pair
from sixtyfold.core.float_formats import FLOAT_FORMATS
from sixtyfold.core.models import model_directory, model_fingerprint
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.diff.changes import CHANGES_SCHEMA, tensor_changes
from sixtyfold.stages.diff.concentration import Gathered, concentration, places
from sixtyfold.stages.diff.spec import DiffSpec

#: Weights after which finished tensors are stored, so that a killed run continues from there.
WEIGHTS_PER_PART = 1 << 25


class _Models(NamedTuple):
    base: Path
    tuned: Path
    inputs: dict[str, str]


def run(spec: DiffSpec) -> Finished:
    """Measure what changed in the weights.

    Returns:
        the stage with the tables `weight_changes`, `concentration`, `places` and the file
        `changes.json`.

    Raises:
        BadInput: a model is missing or unsafe, the two do not fit, or the region is empty.
        Corrupted: a weight file is broken or holds NaN.
    """
    models = _models(spec)
    with open_stage("diff", spec, models.inputs) as stage:
        if stage.complete:
            return finished(spec.out, "diff")
        pair = open_pair(models.base, models.tuned)
        with stage.timed("measure"):
            parts = _measure(pair, spec, stage)
        changes = stage.join_parts("weight_changes", parts, ["tensor"])
        profiles = pl.concat([stage.read_part("profiles", number) for number in range(parts)])
        shares = stage.write_table("concentration", concentration(profiles))
        spots = stage.write_table("places", places(profiles, changes))
        stage.write_json("changes", totals(changes))
        return stage.finish(
            {
                "weight_changes": changes.height,
                "concentration": shares.height,
                "places": spots.height,
            }
        )


def plan(spec: DiffSpec) -> dict[str, Any]:
    """Return what a run would read, without doing it; raises what `run` raises."""
    models = _models(spec)
    pair = open_pair(models.base, models.tuned)
    tensors = _compared(pair)
    return {
        "tensors": len(tensors),
        "weights": sum(tensor.numel for tensor in tensors),
        "region_weights": sum(tensor.numel for tensor in pair.region(spec.region)),
        "parts": len(parts_of(tensors)),
    }


def totals(changes: pl.DataFrame) -> dict[str, int | float]:
    """Sum `weight_changes` over the region."""
    region = changes.filter("in_region")
    weights, changed = int(region["numel"].sum()), int(region["changed"].sum())
    return {
        "weights": weights,
        "changed": changed,
        "share_changed": changed / weights,
        "near_zero_base": int(region["near_zero"].sum()),
        "inexact": int(region["inexact"].sum()),
        "added_rows": int(changes["added_rows"].sum()),
        "sum_relative": math.fsum(region["sum_relative"]),
        "sum_abs": math.fsum(region["sum_abs"]),
        "update_norm": math.sqrt(math.fsum(region["sum_squared"])),
        "base_norm": math.sqrt(math.fsum(region["sum_base_squared"])),
    }


def parts_of(tensors: list[PairedTensor]) -> list[list[PairedTensor]]:
    """Split tensors into runs of about `WEIGHTS_PER_PART` weights, order kept."""
    parts: list[list[PairedTensor]] = [[]]
    for tensor in tensors:
        if sum(each.numel for each in parts[-1]) >= WEIGHTS_PER_PART:
            parts.append([])
        parts[-1].append(tensor)
    return parts


def _models(spec: DiffSpec) -> _Models:
    base = model_directory(spec.base, spec.revision)
    tuned = model_directory(spec.tuned)
    inputs = {"base": model_fingerprint(base), "tuned": model_fingerprint(tuned)}
    return _Models(base, tuned, inputs)


def _compared(pair: CheckpointPair) -> list[PairedTensor]:
    """Return the tensors to compare: weights that both have, tied repeats and buffers left out."""
    return [
        tensor
        for tensor in pair.tensors.values()
        if tensor.numel
        and tensor.twin is None
        and tensor.place.block != "buffer"
        and tensor.tuned.dtype in FLOAT_FORMATS
    ]


def _measure(pair: CheckpointPair, spec: DiffSpec, stage: StageDirectory) -> int:
    """Go through all tensors and store what is found, part by part; return the number of parts."""
    region = {tensor.name for tensor in pair.region(spec.region)}
    parts = parts_of(_compared(pair))
    for number, tensors in enumerate(progress(parts, "diff", len(parts))):
        if stage.has_part("weight_changes", number):
            continue
        gathered, rows = Gathered(), []
        for tensor in tensors:
            found = tensor_changes(tensor, spec.seed, in_region=tensor.name in region)
            gathered.add(found)
            rows.append(found.row)
        stage.write_part("profiles", number, gathered.table())
        stage.write_part("weight_changes", number, pl.DataFrame(rows, CHANGES_SCHEMA))
    return len(parts)
