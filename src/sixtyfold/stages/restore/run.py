"""Restore: a pair of checkpoints in, checkpoints with some weights put back out.

Every output directory is an ordinary model directory (safetensors in the tuned model's layout,
tokenizer, chat template) with the stage's manifest, the table `restored_weights` and a README. With
several shares there is one such directory each, all made in the same pass over the models, and a
table `restored_shares` above them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.checkpoint_pair import CheckpointPair
from sixtyfold.core.errors import BadInput
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.core.pair_models import PairModels, find_pair
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.restore.card import write_restored_card
from sixtyfold.stages.restore.outcomes import NestedCuts, OnePlan, Outcome, rankings_of
from sixtyfold.stages.restore.patch import write_patches
from sixtyfold.stages.restore.plans import InterpolatedPlan
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.stages.restore.threshold import share_count
from sixtyfold.stages.restore.write import (
    bytes_to_write,
    copy_companions,
    remove_unfinished,
    weight_files,
    write_weights,
)


def run(spec: RestoreSpec) -> Finished:
    """Write a restored checkpoint, or one for each of several shares.

    Restored weights are the base's bit for bit, the others the tuned model's bit for bit. Where
    the dtypes differ the base value is rounded to the tuned dtype; the weights for which that is
    not exact are counted as `inexact`.

    Returns:
        the stage with the table `restored_weights`; its directory is the model. With several
        shares the stage `restore-shares` with the table `restored_shares`, key `top`, whose column
        `path` names the directory of each checkpoint.

    Raises:
        BadInput: a model is missing or unsafe or was changed while it was read, the two do not fit,
            the region is empty, the output is an input, or the disk is full.
        Corrupted: a weight file is broken or holds NaN.
    """
    models = _models(spec)
    if len(spec.percents) <= 1:
        return _restored([spec], models)[0]
    with open_stage("restore-shares", spec, models.inputs) as stage:
        specs = spec.each()
        made = _restored(specs, models)
        if stage.complete:
            return finished(spec.out, "restore-shares")
        rows = [
            {"top": each.top, "path": each.out.name, **done.manifest["restored"]}
            for each, done in zip(specs, made, strict=True)
        ]
        table = stage.write_table("restored_shares", pl.DataFrame(rows).sort("top"))
        return stage.finish({"restored_shares": table.height})


def plan(spec: RestoreSpec) -> dict[str, Any]:
    """Return what a run would write, without doing it; raises what `run` raises."""
    pair = _models(spec).open()
    tensors = pair.region(spec.where)
    size = None if spec.as_patch else bytes_to_write(pair) * len(spec.each())
    found = {"region_weights": sum(each.numel for each in tensors), "bytes": size}
    if spec.rule not in RULES or spec.remaining is not None:
        return {**found, "restored": None}
    rankings = rankings_of(tensors, spec.rule, spec.seed, spec.scope)
    counts = [
        sum(share_count(percent, ranking.numel) for ranking in rankings)
        for percent in spec.percents
    ]
    return {**found, "restored": counts[0] if len(counts) == 1 else counts}


def _models(spec: RestoreSpec) -> PairModels:
    models = find_pair(spec.base, spec.tuned, spec.revision, allow_pickle=spec.allow_pickle)
    if spec.out.resolve() in {models.base.resolve(), models.tuned.resolve()}:
        raise BadInput(f"--out {spec.out} is one of the models to read; choose another directory")
    return models


def _restored(specs: Sequence[RestoreSpec], models: PairModels) -> list[Finished]:
    """Write the checkpoints that are not finished yet, in one pass; return all."""
    with contextlib.ExitStack() as opened:
        opening = (open_stage("restore", each, models.inputs) for each in specs)
        stages = [opened.enter_context(each) for each in opening]
        todo = [
            (each, stage) for each, stage in zip(specs, stages, strict=True) if not stage.complete
        ]
        if todo:
            _restore(todo, models)
        for each, stage in zip(specs, stages, strict=True):
            if (each, stage) not in todo and not each.as_patch:
                open_checkpoint(each.out)  # refuses a weight file that was cut short
        return [finished(each.out, "restore") for each in specs]


def _restore(todo: Sequence[tuple[RestoreSpec, StageDirectory]], models: PairModels) -> None:
    pair = models.open()
    specs, stages = [each for each, _ in todo], [stage for _, stage in todo]
    for stage in stages:
        remove_unfinished(stage.path)
    with stages[0].timed("rank"):
        outcome, notes = outcome_of(specs, pair)
    with stages[0].timed("write"):
        if specs[0].as_patch:
            tables = write_patches(pair, outcome, stages, models.inputs, specs[0])
        else:
            tables = write_weights(pair, outcome, stages)
    models.check_unchanged()
    for (spec, stage), table in zip(todo, tables, strict=True):
        totals = _totals(table)
        write_restored_card(spec, models, totals, notes)
        if spec.as_patch:
            stage.finish({"restored_weights": table.height}, restored=totals, notes=notes)
            continue
        copy_companions(pair, spec.out)
        files = {name: file_sha256(spec.out / name) for name in weight_files(pair)}
        rows = {"restored_weights": table.height}
        stage.finish(rows, restored=totals, files=files, notes=notes)


def outcome_of(specs: Sequence[RestoreSpec], pair: CheckpointPair) -> tuple[Outcome, list[str]]:
    """Turn the options of checkpoints that differ in their share only into weights and notes."""
    spec = specs[0]
    if spec.remaining is not None:
        from sixtyfold.stages.restore.candidates import Candidates

        candidates = Candidates(pair, spec.where, spec.seed)
        (found,) = candidates.nearest_norm(spec.rule, [spec.remaining])
        missed = candidates.missed(found, spec.remaining) or candidates.rounded_off(found)
        return OnePlan(found.plan), [missed] if missed else []
    if spec.rule not in RULES:
        return OnePlan(InterpolatedPlan(spec.where, 1.0 if spec.alpha is None else spec.alpha)), []
    rankings = rankings_of(pair.region(spec.where), spec.rule, spec.seed, spec.scope)
    return NestedCuts.of(spec.where, rankings, [each.percents[0] for each in specs]), []


def _totals(table: pl.DataFrame) -> dict[str, int | float]:
    """Return the sums of `restored_weights` over the region."""
    sums = {name: int(table[name].sum()) for name in ("numel", "restored", "moved", "inexact")}
    return {**sums, "remaining_norm": math.sqrt(math.fsum(table["remaining_squared"]))}
