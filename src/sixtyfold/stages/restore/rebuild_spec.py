"""Options of `sixtyfold rebuild`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from sixtyfold.core.spec import StageSpec


class RebuildSpec(StageSpec):
    """Write the checkpoint that a patch of `sixtyfold restore --as-patch` stands for."""

    not_recorded: ClassVar[frozenset[str]] = StageSpec.not_recorded | {"patch"}

    patch: Path
    """The patch: the directory that restore wrote."""

    base: str = "embedded"
    """The model before tuning that the patch was made of; a patch with values does not need it."""

    tuned: str
    """The model after tuning that the patch was made of."""

    revision: str | None = None
    """Branch, tag or commit of the base, for a Hugging Face id."""

    allow_pickle: bool = False
    """Also read weights stored as pickles (.bin, .pt), a format that can carry code; with torch's
    loader that builds nothing but tensors. Only for files you trust."""
