"""A checkpoint as a directory that transformers loads, whatever it is stored as.

An adapter or a pickle is written out for as long as loading takes, in safetensors and with its own
tokenizer, as `sixtyfold restore --top 0` would write it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from sixtyfold.core.checkpoint import CONFIG, Checkpoint, holds_whole_model
from sixtyfold.core.errors import BadInput

#: Weights written at once.
_RUN = 1 << 22


@contextlib.contextmanager
def loadable(checkpoint: Checkpoint, beside: Path) -> Iterator[Path]:
    """Give a directory to load a checkpoint from, inside a `with` block.

    Args:
        checkpoint: its own directory is given where it is one of safetensors.
        beside: a directory to put a copy in; it is gone after the block.

    Raises:
        BadInput: the checkpoint has no `config.json`.
        OSError: the copy cannot be written.
    """
    if holds_whole_model(checkpoint.directory):
        yield checkpoint.directory
        return
    if not checkpoint.config():
        raise BadInput(
            f"{checkpoint.directory} has no {CONFIG}, so its weights cannot be run as a model; "
            f"put {CONFIG} and the tokenizer of its base beside them"
        )
    try:
        yield _copied(checkpoint, beside / ".loading")
    finally:
        remove_copy(beside)


def remove_copy(beside: Path) -> None:
    """Remove the copy that a killed run left in a directory, if it did."""
    shutil.rmtree(beside / ".loading", ignore_errors=True)


def _copied(checkpoint: Checkpoint, folder: Path) -> Path:
    remove_copy(folder.parent)
    folder.mkdir()
    for file in checkpoint.files:
        with (folder / file.name).open("wb") as out:
            out.write(file.prefix)
            for stored in file.tensors.values():
                for start in range(0, stored.numel, _RUN):
                    stop = min(start + _RUN, stored.numel)
                    out.write(stored.raw(start, stop).data.cast("B"))
                    stored.release(start, stop)
    for companion in checkpoint.companions():
        target = folder / companion.name
        target.parent.mkdir(exist_ok=True)
        companion.write(target)
    return folder
