"""`sixtyfold study results`: the table, and the figures drawn from it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.errors import BadInput
from sixtyfold.study import run as study
from sixtyfold.study.spec import StudyResultsSpec


def results(spec: StudyResultsSpec) -> pl.DataFrame:
    """Return the results of a study, and write what is asked for.

    Raises:
        BadInput: `out` is neither .csv nor .parquet, or there is nothing to draw yet.
    """
    table = study.results(spec)
    if spec.figures is not None:
        _draw(table, spec.figures)
    return table


def _draw(table: pl.DataFrame, folder: Path) -> None:
    """Write every figure as PNG and as Vega-Lite JSON."""
    import json

    import vl_convert

    from sixtyfold.reporting.study_charts import figures

    found = figures(table)
    if not found:
        raise BadInput("no training has results that can be drawn; run the study first")
    folder.mkdir(parents=True, exist_ok=True)
    for name, chart in found.items():
        _write(folder / f"{name}.json", json.dumps(chart, indent=1).encode())
        _write(folder / f"{name}.png", vl_convert.vegalite_to_png(json.dumps(chart), scale=2))


def _write(path: Path, contents: bytes) -> None:
    write_atomic(path, lambda partial: partial.write_bytes(contents))
