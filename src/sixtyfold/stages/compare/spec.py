"""What `sixtyfold compare` takes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from sixtyfold.core.spec import Spec, StageSpec


class CompareSpec(StageSpec):
    """Two answer tables, fact by fact: kept, lost, gained, and whether it could be chance."""

    #: Places; the manifest carries the fingerprints of what lies there.
    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {"before", "after"}

    before: Path
    """Answers of the first model: a directory of `sixtyfold evaluate`, or a Parquet table."""

    after: Path
    """Answers of the second model to the same facts: a directory, or a Parquet table."""
