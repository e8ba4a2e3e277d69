"""What `sixtyfold report` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from sixtyfold.core.spec import Spec


class ReportSpec(Spec):
    """Write one self-contained HTML file about a run or a study; it opens without a network."""

    run: Path | None = None
    """Directory that `sixtyfold run` wrote; sections whose stage is missing say so."""

    store: str | None = None
    """Store of `sixtyfold study run` (a directory or an fsspec URL), for a report on a study."""

    study: str | None = None
    """Which study of the store; not needed where it holds one."""

    out: Path | None = None
    """File to write; `report.html` in the run directory, `STUDY-report.html` here for a study."""

    @model_validator(mode="after")
    def _one_subject(self) -> Self:
        if (self.run is None) == (self.store is None):
            given = "neither" if self.run is None else "both"
            raise ValueError(
                f"{given} of --run and --store was given; name a run directory (--run R) or a "
                "store (--store S, with --study NAME)"
            )
        if self.study is not None and self.store is None:
            raise ValueError(f"--study {self.study} was given without --store; name its store")
        return self
