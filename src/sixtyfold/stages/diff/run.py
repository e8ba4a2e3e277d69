"""The diff stage: a pair of checkpoints in, tables of what changed out.

`weight_changes` (one row per tensor), `weight_groups` (per layer, block type, whole model),
`concentration` (shares of the top weights next to their nulls), `group_concentration` (the same
inside each layer and block type), `places` (where the top weights lie) and `changes.json` (the
region as a whole).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.checkpoint_pair import CheckpointPair, PairedTensor
from sixtyfold.core.float_formats import FLOAT_FORMATS
from sixtyfold.core.pair_models import PairModels, find_pair
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.diff.changes import CHANGES_SCHEMA, tensor_changes
from sixtyfold.stages.diff.concentration import Gathered, Profiles, concentration, places
from sixtyfold.stages.diff.groups import groups
from sixtyfold.stages.diff.overlap import matched, overlap
from sixtyfold.stages.diff.spec import DiffSpec
from sixtyfold.stages.diff.spectrum import SPECTRUM_SCHEMA, is_matrix, spectrum_row

#: Weights after which finished tensors are stored, so that a killed run continues from there.
WEIGHTS_PER_PART = 1 << 25


class _Models(NamedTuple):
    tuned: PairModels
    other: PairModels | None

    @property
    def inputs(self) -> dict[str, str]:
        """Fingerprints of all models."""
        other = {} if self.other is None else {"other": self.other.inputs["tuned"]}
        return {**self.tuned.inputs, **other}

    def check_unchanged(self) -> None:
        """Look at all of them again; raises what `PairModels.check_unchanged` raises."""
        self.tuned.check_unchanged()
        if self.other is not None:
            self.other.check_unchanged()


def run(spec: DiffSpec) -> Finished:
    """Measure what changed in the weights.

    Returns:
        the stage with the tables of the module docstring; with `spec.spectrum` also `spectrum`
        (one row per matrix), with `spec.other` also `overlap` and `overlap.json`.

    Raises:
        BadInput: a model is missing or unsafe, they do not fit, or the region is empty.
        Corrupted: a weight file is broken or holds NaN.
    """
    models = _models(spec)
    with open_stage("diff", spec, models.inputs) as stage:
        if stage.complete:
            return finished(spec.out, "diff")
        pair = models.tuned.open()
        others = _matched(pair, models, spec)
        with stage.timed("measure"):
            parts = _measure(pair, spec, stage)
        tables = _tables(stage, spec, parts)
        extra: dict[str, Any] = {}
        if spec.spectrum:
            with stage.timed("spectrum"):
                tables["spectrum"], extra["no_matrices"] = _spectrum(pair, spec, stage)
        if others is not None:
            with stage.timed("overlap"):
                tables["overlap"] = _overlap(others, spec, stage)
        for name, table in tables.items():
            stage.write_table(name, table)
        models.check_unchanged()
        return stage.finish({name: table.height for name, table in tables.items()}, **extra)


def _tables(stage: StageDirectory, spec: DiffSpec, parts: int) -> dict[str, pl.DataFrame]:
    """Turn the finished parts into the tables every diff has, and write `changes.json`."""
    changes = stage.join_parts("weight_changes", parts, ["tensor"])
    profiles = Profiles()
    for number in range(parts):
        profiles.add(stage.read_part("profiles", number))
    stage.write_json("changes", totals(changes))
    return {
        "weight_changes": changes,
        "weight_groups": groups(changes),
        "concentration": concentration(profiles, spec.percents, ["region"]).drop("split", "group"),
        "group_concentration": concentration(profiles, spec.percents, ["layer", "block"]),
        "places": places(profiles, changes, spec.percents),
    }


def _spectrum(
    pair: CheckpointPair, spec: DiffSpec, stage: StageDirectory
) -> tuple[pl.DataFrame, int]:
    """Return the table `spectrum` and how many tensors of the region are no matrices."""
    region = pair.region(spec.where)
    matrices = [tensor for tensor in region if is_matrix(tensor)]
    frames = stage.make_parts(
        "spectrum",
        parts_of(matrices),
        lambda part: pl.DataFrame(
            [spectrum_row(tensor, spec.seed) for tensor in part], SPECTRUM_SCHEMA
        ),
        "spectrum",
    )
    return pl.concat(frames).sort("tensor"), len(region) - len(matrices)


def _matched(
    pair: CheckpointPair, models: _Models, spec: DiffSpec
) -> list[tuple[PairedTensor, PairedTensor]] | None:
    """Return the region's tensors with those of the second tuned model, if there is one."""
    if models.other is None:
        return None
    return matched(pair.region(spec.where), models.other.open())


def _overlap(
    others: list[tuple[PairedTensor, PairedTensor]], spec: DiffSpec, stage: StageDirectory
) -> pl.DataFrame:
    found = overlap(others, spec.percents, spec.seed)
    stage.write_json("overlap", found.totals)
    return found.table


def plan(spec: DiffSpec) -> dict[str, Any]:
    """Return what a run would read, without doing it; raises what `run` raises."""
    models = _models(spec)
    pair = models.tuned.open()
    tensors = _compared(pair)
    others = _matched(pair, models, spec)
    more = {} if others is None else {"tensors_of_the_other": len(others)}
    if spec.spectrum:
        more["matrices"] = sum(is_matrix(tensor) for tensor in pair.region(spec.where))
    return {
        "tensors": len(tensors),
        "weights": sum(tensor.numel for tensor in tensors),
        "region_weights": sum(tensor.numel for tensor in pair.region(spec.where)),
        "parts": len(parts_of(tensors)),
        **more,
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
        "sum_relative_near_zero": math.fsum(region["sum_relative_near_zero"]),
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
    def found(name: str) -> PairModels:
        return find_pair(spec.base, name, spec.revision, allow_pickle=spec.allow_pickle)

    return _Models(found(spec.tuned), None if spec.other is None else found(spec.other))


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
    region = {tensor.name for tensor in pair.region(spec.where)}
    parts = parts_of(_compared(pair))
    for number, tensors in enumerate(progress(parts, "diff", len(parts))):
        if stage.has_part("weight_changes", number):
            continue
        gathered, rows = Gathered(), []
        for tensor in tensors:
            found = tensor_changes(
                tensor, spec.seed, in_region=tensor.name in region, bf16=spec.papers_rounding
            )
            gathered.add(found)
            rows.append(found.row)
        stage.write_part("profiles", number, gathered.table())
        stage.write_part("weight_changes", number, pl.DataFrame(rows, CHANGES_SCHEMA))
    return len(parts)
