"""Save a model and its tokenizer so that a killed run leaves no half checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sixtyfold.core.quiet import quiet_transformers


def save_checkpoint(model: Any, tokenizer: Any, folder: Path) -> None:
    """Save a model beside `folder` and move its files in one by one, weights last.

    Args:
        model: a transformers model.
        tokenizer: its tokenizer.
        folder: an existing directory; a stage's, whose manifest is written afterwards.
    """
    temporary = folder / ".saving"
    shutil.rmtree(temporary, ignore_errors=True)
    with quiet_transformers():
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    files = sorted(temporary.iterdir(), key=lambda each: (each.suffix == ".safetensors", each.name))
    for path in files:
        path.replace(folder / path.name)
    temporary.rmdir()
