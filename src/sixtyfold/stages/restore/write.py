"""Write repaired checkpoints in the tuned model's layout, a few chunks in memory at a time.

Weights first, shard by shard, each under a temporary name until it is complete; then the shard
index, the tokenizer and, last, config.json. Without config.json no library takes the directory
for a model, so a killed run leaves nothing that could be mistaken for one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, NoReturn, Protocol

import polars as pl

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.checkpoint_pair import CHUNK, CheckpointPair, PairedTensor
from sixtyfold.core.errors import BadInput
from sixtyfold.core.fingerprint import remember_sha256
from sixtyfold.core.float_formats import Array
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import StageDirectory
from sixtyfold.core.threads import thread_count
from sixtyfold.core.weight_files import WeightFile, Weights
from sixtyfold.stages.restore.outcomes import Outcome, Piece

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


def write_weights(
    pair: CheckpointPair, outcome: Outcome, stages: Sequence[StageDirectory]
) -> list[pl.DataFrame]:
    """Write every weight file of the tuned model as the checkpoints of an outcome have it.

    Files that an earlier, killed run completed in all of them are kept.

    Args:
        pair: base and tuned.
        outcome: what the checkpoints hold.
        stages: one directory a checkpoint.

    Returns:
        the table `restored_weights` of every checkpoint, one row per tensor of the region, key
        `tensor`.

    Raises:
        BadInput: the disk is full, or a base weight is beyond the tuned dtype's range.
        Corrupted: a weight is not a finite number.
    """
    files = pair.tuned.files
    todo = {
        number
        for number, file in enumerate(files)
        if not all(_done(stage, number, file) for stage in stages)
    }
    _check_space(stages[0].path, len(stages) * sum(files[number].size for number in todo))
    region = {tensor.name for tensor in pair.region(outcome.region)}
    for number, file in enumerate(progress(files, "weights", len(files))):
        if number not in todo:
            continue
        try:
            found = _write_file(file, pair, outcome, region, [stage.path for stage in stages])
        except OSError as error:
            _explain(error, stages[0].path)
        for stage, rows in zip(stages, found, strict=True):
            stage.write_part("restored_weights", number, pl.DataFrame(rows, RESTORED_SCHEMA))
    return [stage.join_parts("restored_weights", len(files), ["tensor"]) for stage in stages]


def copy_companions(pair: CheckpointPair, directory: Path) -> None:
    """Copy index, tokenizer, chat template and configuration of the tuned model, config last."""
    for companion in pair.tuned.companions():
        target = directory / companion.name
        target.parent.mkdir(exist_ok=True)
        try:
            write_atomic(target, companion.write)
        except OSError as error:
            _explain(error, directory)


def _done(stage: StageDirectory, number: int, file: WeightFile) -> bool:
    """Whether an earlier run completed this file (its part is written after it)."""
    written = stage.path / file.name
    return (
        stage.has_part("restored_weights", number)
        and written.is_file()
        and written.stat().st_size == file.size
    )


class Copy(Protocol):
    """What becomes of the weight files of one checkpoint."""

    rows: list[dict[str, object]]
    """Rows of `restored_weights`, filled by `stream_file`."""

    def write(self, data: memoryview) -> None:
        """Take the next bytes of the file, equal in all checkpoints of a pass."""
        ...

    def put(self, paired: PairedTensor, start: int, raw: Array) -> None:
        """Take the next repaired weights, those of a tensor from flat index `start` on."""
        ...


class _FileCopy:
    """One checkpoint's copy of a weight file, hashed while it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(f".{path.name}.partial")
        self.rows: list[dict[str, object]] = []
        self._digest = hashlib.sha256()
        self._out = self.partial.open("wb")

    def write(self, data: memoryview) -> None:
        self._out.write(data)
        self._digest.update(data)

    def put(self, paired: PairedTensor, start: int, raw: Array) -> None:  # noqa: ARG002
        self.write(raw.data.cast("B"))

    def finish(self) -> None:
        """Move the file into place; all of it is written.

        It is not waited for until it lies on the disk: its size and SHA-256 tell after a power
        cut (docs/decisions/013).
        """
        self._out.close()
        self.partial.replace(self.path)
        remember_sha256(self.path, self._digest.hexdigest())

    def close(self) -> None:
        """Leave no half of a file, whatever went wrong; one that was finished has its name."""
        self._out.close()
        self.partial.unlink(missing_ok=True)


def _write_file(
    file: WeightFile,
    pair: CheckpointPair,
    outcome: Outcome,
    region: set[str],
    directories: Sequence[Path],
) -> list[list[dict[str, object]]]:
    """Write one weight file of every checkpoint and return their rows of `restored_weights`."""
    with contextlib.ExitStack() as opened:
        copies = []
        for directory in directories:
            copies.append(_FileCopy(directory / file.name))
            opened.callback(copies[-1].close)
        stream_file(file, pair, outcome, region, copies)
        for copy in copies:
            copy.finish()
    return [copy.rows for copy in copies]


def stream_file(
    file: WeightFile,
    pair: CheckpointPair,
    outcome: Outcome,
    region: set[str],
    copies: Sequence[Copy],
) -> None:
    """Go through one weight file as every checkpoint has it, from its first byte to its last.

    Args:
        file: of the tuned model.
        pair: base and tuned.
        outcome: what the checkpoints hold.
        region: names of the tensors of the outcome's region.
        copies: take the bytes, one a checkpoint.
    """
    sources = {}
    for name in file.tensors:
        paired = pair.tensors[name]
        source = pair.tensors[paired.twin] if paired.twin else paired
        if source.name in region:
            sources[name] = source
    pieces = outcome.pieces(list(sources.values()))
    with ThreadPoolExecutor(thread_count()) as pool:
        side = _SideBySide(copies, pool)
        side.write(memoryview(file.prefix))
        for name, stored in file.tensors.items():
            if name not in sources:
                _copy(side, stored, 0)
                continue
            _write_repaired(side, sources[name], pieces, count=name == sources[name].name)
            _copy(side, stored, sources[name].numel)


class _SideBySide(NamedTuple):
    """The copies of a pass; each takes its bytes on a thread, all are waited for."""

    copies: Sequence[Copy]
    pool: ThreadPoolExecutor

    def write(self, data: memoryview) -> None:
        list(self.pool.map(lambda copy: copy.write(data), self.copies))

    def put(self, paired: PairedTensor, start: int, raws: Sequence[Array]) -> None:
        list(self.pool.map(lambda copy, raw: copy.put(paired, start, raw), self.copies, raws))


def _write_repaired(
    side: _SideBySide, paired: PairedTensor, pieces: Iterator[list[Piece]], *, count: bool
) -> None:
    """Write the repaired weights of one tensor; `count` them in the rows of the checkpoints."""
    sums = [Sums(0, 0, 0, 0.0) for _ in side.copies]
    start = 0
    while start < paired.numel:
        found = next(pieces)
        side.put(paired, start, [piece.raw for piece in found])
        sums = [total.plus(piece) for total, piece in zip(sums, found, strict=True)]
        start += found[0].raw.size
    if count:
        spot = {"tensor": paired.name, "layer": paired.place.layer, "block": paired.place.block}
        for copy, total in zip(side.copies, sums, strict=True):
            copy.rows.append({**spot, "numel": paired.numel, **total._asdict()})


class Sums(NamedTuple):
    """What `restored_weights` says about a tensor."""

    restored: int
    moved: int
    inexact: int
    remaining_squared: float

    def plus(self, piece: Piece) -> Sums:
        """Add a run of weights."""
        return Sums(
            self.restored + piece.restored,
            self.moved + piece.moved,
            self.inexact + piece.inexact,
            self.remaining_squared + piece.remaining,
        )


def _copy(side: _SideBySide, stored: Weights, start: int) -> None:
    """Write the tuned weights from flat index `start` on as they are."""
    for first in range(start, stored.numel, CHUNK):
        last = min(first + CHUNK, stored.numel)
        side.write(stored.raw(first, last).data.cast("B"))
        stored.release(first, last)


def _check_space(directory: Path, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise BadInput(
            f"{directory} needs {needed / 1e9:.2f} GB and its disk has {free / 1e9:.2f} GB free; "
            "make room or choose another --out"
        )


def _explain(error: OSError, directory: Path) -> NoReturn:
    """Turn a full disk into one clear line and remove what is half written; raise all else."""
    remove_unfinished(directory)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        raise BadInput(
            f"the disk of {directory} is full; make room and give the same command again"
        ) from None
    raise error


def remove_unfinished(directory: Path) -> None:
    """Remove what a killed or failed run has half written."""
    for unfinished in directory.glob(".*.partial"):
        unfinished.unlink(missing_ok=True)


def bytes_to_write(pair: CheckpointPair) -> int:
    """Return the size of all weight files."""
    return sum(file.size for file in pair.tuned.files)


def weight_files(pair: CheckpointPair) -> Iterator[str]:
    """Give the names of the weight files, in the order in which they are written."""
    return (file.name for file in pair.tuned.files)
