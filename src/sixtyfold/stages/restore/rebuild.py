"""Rebuild: a patch and the models it was made of in, the restored checkpoint out, bit for bit.

The weights are compared with the SHA-256 that the patch holds before tokenizer and configuration
are put beside them, so a checkpoint that can be opened is the one the patch stands for.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.checkpoint import is_adapter
from sixtyfold.core.checkpoint_pair import CheckpointPair
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.core.model_card import without_section
from sixtyfold.core.model_origin import CARD
from sixtyfold.core.pair_models import PairModels, find_pair
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.restore.card import PATCH
from sixtyfold.stages.restore.outcomes import Outcome
from sixtyfold.stages.restore.patch import Patch
from sixtyfold.stages.restore.rebuild_spec import RebuildSpec
from sixtyfold.stages.restore.run import outcome_of
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.stages.restore.write import (
    bytes_to_write,
    copy_companions,
    weight_files,
    write_weights,
)


def run(spec: RebuildSpec) -> Finished:
    """Write the checkpoint that a patch stands for.

    Returns:
        the stage with the table `restored_weights`; its directory is the model.

    Raises:
        IncompleteInput: the patch is not one, or was not finished.
        BadInput: a model is not the one the patch was made of, or the disk is full.
        Corrupted: a file is broken, or the weights are not those the patch stands for.
    """
    made = finished(spec.patch, "restore")
    patch = Patch.read(made.path)
    if "restored" not in made.manifest:
        raise Corrupted(f"{made.path / 'manifest.json'} lacks the counts; make the patch again")
    counted = made.table("restored_weights")
    models = _models(spec, patch)
    inputs = {**models.inputs, "patch": file_sha256(made.path / "patch.json")[:16]}
    with open_stage("rebuild", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "rebuild")
        pair = models.open()
        _check_names(patch, pair)
        with stage.timed("write"):
            write_weights(pair, patch.outcome(pair, _worked_out), [stage])
        _verify(patch, stage)
        models.check_unchanged()
        table = stage.write_table("restored_weights", counted)
        _copy_card(made.path, spec.out)
        copy_companions(pair, spec.out)
        rows = {"restored_weights": table.height}
        return stage.finish(rows, restored=made.manifest["restored"], files=patch.files)


def plan(spec: RebuildSpec) -> dict[str, Any]:
    """Return what a run would write, without doing it; raises what `run` raises."""
    patch = Patch.read(finished(spec.patch, "restore").path)
    return {"form": patch.form, "bytes": bytes_to_write(_models(spec, patch).open())}


def _worked_out(options: Mapping[str, Any], pair: CheckpointPair) -> Outcome:
    """Work a checkpoint out again from the options of restore."""
    spec = RestoreSpec.parse({**options, "tuned": str(pair.tuned.directory), "out": "."})
    return outcome_of([spec], pair)[0]


def _models(spec: RebuildSpec, patch: Patch) -> PairModels:
    """Find the models that a patch needs and compare them with those it was made of."""
    alone = patch.form == "values" and not is_adapter(Path(spec.tuned))
    base, revision = (spec.tuned, None) if alone else (spec.base, spec.revision)
    models = find_pair(base, spec.tuned, revision, allow_pickle=spec.allow_pickle)
    if spec.out.resolve() in {models.base.resolve(), models.tuned.resolve(), spec.patch.resolve()}:
        raise BadInput(f"--out {spec.out} is one of the inputs; choose another directory")
    needed = {"tuned": patch.tuned} if alone else {"base": patch.base, "tuned": patch.tuned}
    for name, wanted in needed.items():
        if models.inputs[name] != wanted:
            raise BadInput(
                f"--{name} {getattr(spec, name)} is not the model that the patch {spec.patch} was "
                f"made of (fingerprint {models.inputs[name]}, the patch has {wanted}); give that"
            )
    return models


def _check_names(patch: Patch, pair: CheckpointPair) -> None:
    """Refuse a patch of other files: all that is written is compared, and nothing else touched."""
    written = set(weight_files(pair))
    if patch.files.keys() != written:
        name = min(patch.files.keys() ^ written)
        raise Corrupted(
            f"{patch.directory / 'patch.json'} has other weight files than its models make "
            f"({name!r}); make the patch again"
        )


def _verify(patch: Patch, stage: StageDirectory) -> None:
    """Compare the weight files with the patch; if they are others, leave none of them."""
    found = {name: file_sha256(stage.path / name) for name in patch.files}
    wrong = sorted(name for name, digest in found.items() if digest != patch.files[name])
    if wrong:
        for name in (*found, "restored_weights.parquet"):
            (stage.path / name).unlink()
        shutil.rmtree(stage.parts, ignore_errors=True)
        raise Corrupted(
            f"the rebuilt {wrong[0]} is not the one that {patch.directory} was made for (SHA-256 "
            f"{found[wrong[0]][:12]}, not {patch.files[wrong[0]][:12]}); make the patch again, "
            "with --patch-values where it is to be rebuilt on another machine"
        )


def _copy_card(patch: Path, out: Path) -> None:
    """Write the card of the checkpoint, which the patch has with a section more."""
    if (patch / CARD).is_file():
        text = without_section((patch / CARD).read_text(encoding="utf-8"), PATCH)
        write_atomic(out / CARD, lambda path: path.write_text(text, encoding="utf-8"))
