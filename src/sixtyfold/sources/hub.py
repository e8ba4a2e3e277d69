"""Hub: stub."""
from __future__ import annotations

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.rows import SourceRows


def read_hub(rest: str, options: ReadOptions) -> SourceRows:
    """Not there yet."""
    raise BadInput(f"hub:{rest}{options.columns or ''}")
