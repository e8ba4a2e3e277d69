"""Save a model and its tokenizer so that a killed or failed run leaves no half checkpoint."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sixtyfold.core.quiet import quiet_transformers


def save_checkpoint(
    model: Any, tokenizer: Any, folder: Path, state_dict: dict[str, Any] | None = None
) -> None:
    """Save a model beside `folder` and move its files in one by one, weights last.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        folder: an existing directory; a stage's, whose manifest is written afterwards.
        state_dict: the weights where the model itself does not hold them all.

    Raises:
        OSError: it cannot be written; what stood there before stays, nothing half-written.
    """
    temporary = folder / ".saving"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with quiet_transformers(), told_as_disk_errors(folder):
            model.save_pretrained(temporary, state_dict=state_dict)
            tokenizer.save_pretrained(temporary)
        move_in(temporary, folder)
    except Exception:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def move_in(temporary: Path, folder: Path) -> None:
    """Move the files of a folder into another, weights last, and remove the empty folder."""
    files = sorted(temporary.iterdir(), key=lambda each: (each.suffix == ".safetensors", each.name))
    for path in files:
        path.replace(folder / path.name)
    temporary.rmdir()


@contextlib.contextmanager
def told_as_disk_errors(folder: Path | str) -> Iterator[None]:
    """Raise what safetensors and torch make of a full disk inside a block as what it is.

    Raises:
        OSError: a file could not be written.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        raise _disk_error(error, folder) from None
    except RuntimeError as error:  # torch.save tells a full disk as a failure of its own stream
        if not any(word in str(error) for word in ("PytorchStreamWriter", "inline_container")):
            raise
        raise _disk_error(error, folder) from None


def _disk_error(error: Exception, folder: Path | str) -> OSError:
    full = "No space" in str(error) or "os error 28" in str(error)
    code = errno.ENOSPC if full else errno.EIO
    reason = os.strerror(code) if full else " ".join(str(error).split())[:200]
    return OSError(code, reason, str(folder))
