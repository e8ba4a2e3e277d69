"""The report: one HTML file about a run directory."""

from __future__ import annotations

import json
from pathlib import Path

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.errors import BadInput
from sixtyfold.reporting.fact_rows import fact_table
from sixtyfold.reporting.page import Page, render
from sixtyfold.reporting.results import commands, read_results
from sixtyfold.reporting.sections import happened, known, tiles, trained
from sixtyfold.reporting.spec import ReportSpec
from sixtyfold.reporting.untrusted import visible
from sixtyfold.reporting.weight_sections import moved, repaired


def run(spec: ReportSpec) -> Path:
    """Write the report of a run.

    Raises:
        IncompleteInput: the directory holds no finished test answers.
        BadInput: the file cannot be written.
        Corrupted: a manifest, table or JSON file of the run is not readable.
    """
    return write_report(spec.run, spec.out)


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write one self-contained HTML file and return its path.

    The same run directory gives the same bytes.

    Args:
        run_dir: directory of `sixtyfold run`; sections of missing stages say so.
        out: file to write; `report.html` in the run directory without it.

    Raises:
        What `run` raises.
    """
    path = out or run_dir / "report.html"
    results = read_results(run_dir)
    page = Page(
        title=f"What tuning changed: {visible(run_dir.resolve().name)}",
        tiles=tiles(results),
        sections=[build(results) for build in (known, trained, happened, moved, repaired)],
        facts=fact_table(results),
        repeat=[
            (visible(name), json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False))
            for name, manifest in results.manifests.items()
        ],
        commands=[visible(command, longest=4000) for command in commands(results.manifests)],
    )
    text = render(page)
    try:
        write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot write {path} ({error.strerror}); choose another --out") from None
    return path
