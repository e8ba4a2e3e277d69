"""Restore: a pair of checkpoints in, a checkpoint with some weights put back out.

The output directory is an ordinary model directory (safetensors in the tuned model's layout,
tokenizer, chat template) with the stage's manifest, the table `restored_weights` and a README.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.checkpoint_pair import CheckpointPair, open_pair
from sixtyfold.core.errors import BadInput
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.core.models import model_directory, model_fingerprint, model_licence
from sixtyfold.core.stage import Finished, finished, open_stage, write_atomic
from sixtyfold.stages.restore.candidates import share_count
from sixtyfold.stages.restore.plans import InterpolatedPlan, Plan, RankedPlan
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.stages.restore.threshold import Aim, Ranking, cut
from sixtyfold.stages.restore.write import (
    bytes_to_write,
    copy_companions,
    weight_files,
    write_weights,
)


class _Models(NamedTuple):
    base: Path
    tuned: Path
    inputs: dict[str, str]


def run(spec: RestoreSpec) -> Finished:
    """Write a restored checkpoint.

    Restored weights are the base's bit for bit, the others the tuned model's bit for bit. Where
    the dtypes differ the base value is rounded to the tuned dtype; the weights for which that is
    not exact are counted as `inexact`.

    Returns:
        the stage with the table `restored_weights`; its directory is the model.

    Raises:
        BadInput: a model is missing or unsafe, the two do not fit, the region is empty, the output
            lies in an input, or the disk is full.
        Corrupted: a weight file is broken or holds NaN.
    """
    models = _models(spec)
    with open_stage("restore", spec, models.inputs) as stage:
        if stage.complete:
            return finished(spec.out, "restore")
        pair = open_pair(models.base, models.tuned)
        with stage.timed("rank"):
            plan = _plan(spec, pair)
        with stage.timed("write"):
            table = write_weights(pair, plan, stage)
        totals = _totals(table)
        _write_card(spec, models, totals)
        copy_companions(pair, spec.out)
        files = {name: file_sha256(spec.out / name) for name in weight_files(pair)}
        return stage.finish({"restored_weights": table.height}, restored=totals, files=files)


def plan(spec: RestoreSpec) -> dict[str, Any]:
    """Return what a run would write, without doing it; raises what `run` raises."""
    models = _models(spec)
    pair = open_pair(models.base, models.tuned)
    weights = sum(tensor.numel for tensor in pair.region(spec.region))
    count = None if spec.rule == "interpolation" else share_count(spec.top, weights)
    return {"region_weights": weights, "restored": count, "bytes": bytes_to_write(pair)}


def _models(spec: RestoreSpec) -> _Models:
    base = model_directory(spec.base, spec.revision)
    tuned = model_directory(spec.tuned)
    if spec.out.resolve() in {base.resolve(), tuned.resolve()}:
        raise BadInput(f"--out {spec.out} is one of the models to read; choose another directory")
    inputs = {"base": model_fingerprint(base), "tuned": model_fingerprint(tuned)}
    return _Models(base, tuned, inputs)


def _plan(spec: RestoreSpec, pair: CheckpointPair) -> Plan:
    """Turn the options into what is written for every weight."""
    tensors = pair.region(spec.region)
    if spec.rule == "interpolation":
        return InterpolatedPlan(spec.region, 1.0 if spec.alpha is None else spec.alpha)
    ranking = Ranking(tensors, spec.rule, spec.seed)
    aim = Aim(number=share_count(spec.top, ranking.numel))
    return RankedPlan(spec.region, ranking, cut(ranking, [aim])[0])


def _totals(table: pl.DataFrame) -> dict[str, int | float]:
    """Return the sums of `restored_weights` over the region."""
    sums = {name: int(table[name].sum()) for name in ("numel", "restored", "moved", "inexact")}
    return {**sums, "remaining_norm": math.sqrt(math.fsum(table["remaining_squared"]))}


def _write_card(spec: RestoreSpec, models: _Models, totals: dict[str, int | float]) -> None:
    """Write the README of the model: what it is and how it was made."""
    licence = model_licence(models.tuned, spec.tuned) or model_licence(models.base, spec.base)
    head = ["---", *([f"license: {licence}"] if licence else []), "tags: [sixtyfold]", "---", ""]
    if spec.rule == "interpolation":
        what = f"every update of the region '{spec.region}' shrunk to {spec.alpha:g} of itself"
    else:
        what = (
            f"{totals['restored']:,} of {totals['numel']:,} weights of the region "
            f"'{spec.region}' ({spec.top:g}%, rule '{spec.rule}') put back to the base"
        )
    text = [
        "# A tuned model with weights put back",
        "",
        f"This is `{spec.tuned}` with {what} (`{spec.base}`), by `sixtyfold restore`.",
        "Weights that were not put back are the tuned model's bit for bit.",
        "`manifest.json` holds the exact settings, the fingerprints of both models and the",
        "SHA-256 of every weight file; `restored_weights.parquet` says how many weights of each",
        "tensor were put back.",
        "",
    ]
    body = "\n".join([*head, *text])
    write_atomic(spec.out / "README.md", lambda path: path.write_text(body, encoding="utf-8"))
