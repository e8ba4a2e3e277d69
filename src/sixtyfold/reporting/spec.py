"""What `sixtyfold report` takes."""

from __future__ import annotations

from pathlib import Path

from sixtyfold.core.spec import Spec


class ReportSpec(Spec):
    """Write one self-contained HTML file about a run; it opens without a network."""

    run: Path
    """Directory that `sixtyfold run` wrote; sections whose stage is missing are left out."""

    out: Path | None = None
    """File to write; `report.html` in the run directory without it."""
