"""Write a repaired checkpoint in the tuned model's layout, one chunk in memory at a time.

Weights first, shard by shard, each under a temporary name until it is complete; then the shard
index, the tokenizer and, last, config.json. Without config.json no library takes the directory
for a model, so a killed run leaves nothing that could be mistaken for one.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import polars as pl

from sixtyfold.core.checkpoint_pair import CHUNK, CheckpointPair
from sixtyfold.core.errors import BadInput
from sixtyfold.core.progress import progress
from sixtyfold.core.safetensors_file import SafetensorsFile, StoredTensor
from sixtyfold.core.stage import StageDirectory, write_atomic
from sixtyfold.stages.restore.plans import Plan, remaining_squares

RESTORED_SCHEMA = pl.Schema(
    {
        "tensor": pl.String(),
        "layer": pl.Int32(),
        "block": pl.String(),
        "numel": pl.Int64(),
        "restored": pl.Int64(),
        "moved": pl.Int64(),
        "inexact": pl.Int64(),
        "remaining_squared": pl.Float64(),
    }
)

#: Files beside the weights that belong to a model, config.json (written last) left out.
COMPANIONS = (
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.model",
    "*.tiktoken",
    "*.jinja",
    "chat_template*",
    "additional_chat_templates/*.jinja",
    "*.py",
    "LICENSE*",
    "NOTICE*",
)


def write_weights(pair: CheckpointPair, plan: Plan, stage: StageDirectory) -> pl.DataFrame:
    """Write every weight file of the tuned model with the plan applied.

    Files that an earlier, killed run completed are kept.

    Returns:
        the table `restored_weights`, one row per tensor of the region, key `tensor`.

    Raises:
        BadInput: the disk is full, or a base weight is beyond the tuned dtype's range.
        Corrupted: a weight is not a finite number.
    """
    files = pair.tuned.files
    todo = [file for number, file in enumerate(files) if not _done(stage, number, file)]
    _check_space(stage.path, sum(file.path.stat().st_size for file in todo))
    region = {tensor.name for tensor in pair.region(plan.region)}
    for number, file in enumerate(progress(files, "weights", len(files))):
        if _done(stage, number, file):
            continue
        rows: list[dict[str, object]] = []
        try:
            write = partial(_write_file, file=file, pair=pair, plan=plan, region=region, rows=rows)
            write_atomic(stage.path / file.path.name, write)
        except OSError as error:
            _explain(error, stage.path)
        stage.write_part("restored_weights", number, pl.DataFrame(rows, RESTORED_SCHEMA))
    return stage.join_parts("restored_weights", len(files), ["tensor"])


def copy_companions(pair: CheckpointPair, directory: Path) -> None:
    """Copy index, tokenizer, chat template and configuration of the tuned model, config last."""
    source = pair.tuned.directory
    names = {each.relative_to(source) for pattern in COMPANIONS for each in source.glob(pattern)}
    ordered = sorted(name for name in names if (source / name).is_file())
    if pair.tuned.index_file is not None:
        ordered.insert(0, Path(pair.tuned.index_file.name))
    if (source / "config.json").is_file():
        ordered.append(Path("config.json"))
    for name in ordered:
        target = directory / name
        target.parent.mkdir(exist_ok=True)
        try:
            write_atomic(target, partial(shutil.copyfile, source / name))
        except OSError as error:
            _explain(error, directory)


def _done(stage: StageDirectory, number: int, file: SafetensorsFile) -> bool:
    """Whether an earlier run completed this file (its part is written after it)."""
    written = stage.path / file.path.name
    return (
        stage.has_part("restored_weights", number)
        and written.is_file()
        and written.stat().st_size == file.path.stat().st_size
    )


def _write_file(
    path: Path,
    *,
    file: SafetensorsFile,
    pair: CheckpointPair,
    plan: Plan,
    region: set[str],
    rows: list[dict[str, object]],
) -> None:
    with path.open("wb") as out:
        out.write(file.prefix)
        for stored in file.tensors.values():
            paired = pair.tensors[stored.name]
            source = pair.tensors[paired.twin] if paired.twin else paired
            if source.name not in region:
                _copy(out, stored, 0)
                continue
            row = _write_repaired(out, pair, plan, source.name)
            _copy(out, stored, source.numel)
            if not paired.twin:
                rows.append(row)


def _write_repaired(
    out: BinaryIO, pair: CheckpointPair, plan: Plan, name: str
) -> dict[str, object]:
    """Write the repaired weights of one tensor and return its row of `restored_weights`."""
    paired = pair.tensors[name]
    restored = moved = inexact = 0
    remaining = 0.0
    for repaired in plan.chunks(paired):
        out.write(repaired.raw.data)
        restored += repaired.restored
        moved += repaired.moved
        inexact += repaired.chunk.inexact
        remaining += remaining_squares(repaired)
    return {
        "tensor": name,
        "layer": paired.place.layer,
        "block": paired.place.block,
        "numel": paired.numel,
        "restored": restored,
        "moved": moved,
        "inexact": inexact,
        "remaining_squared": remaining,
    }


def _copy(out: BinaryIO, stored: StoredTensor, start: int) -> None:
    """Write the tuned weights from flat index `start` on as they are."""
    for first in range(start, stored.numel, CHUNK):
        last = min(first + CHUNK, stored.numel)
        out.write(stored.raw(first, last).data)
        stored.release(first, last)


def _check_space(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise BadInput(
            f"{directory} needs {needed / 1e9:.2f} GB and its disk has {free / 1e9:.2f} GB free; "
            "make room or choose another --out"
        )


def _explain(error: OSError, directory: Path) -> None:
    """Turn a full disk into one clear line and remove what is half written; raise all else."""
    for unfinished in directory.glob(".*.partial"):
        unfinished.unlink(missing_ok=True)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        raise BadInput(
            f"the disk of {directory} is full; make room and give the same command again"
        ) from None
    raise error


def bytes_to_write(pair: CheckpointPair) -> int:
    """Return the size of all weight files."""
    return sum(file.path.stat().st_size for file in pair.tuned.files)


def weight_files(pair: CheckpointPair) -> Iterator[str]:
    """Give the names of the weight files, in the order in which they are written."""
    return (file.path.name for file in pair.tuned.files)
