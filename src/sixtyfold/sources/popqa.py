"""PopQA: stub."""
from __future__ import annotations

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.rows import SourceRows


def read_popqa(rest: str, options: ReadOptions) -> SourceRows:
    """Not there yet."""
    raise BadInput(f"popqa:{rest}{options.columns or ''}")
