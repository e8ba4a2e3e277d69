"""The report: one HTML file about a run directory or a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.errors import BadInput
from sixtyfold.reporting.fact_rows import lost_and_gained
from sixtyfold.reporting.page import Page, Section, render
from sixtyfold.reporting.repeat import repeat
from sixtyfold.reporting.results import Results, read_results
from sixtyfold.reporting.run_advice import what_next
from sixtyfold.reporting.sections import happened, known, tiles, trained
from sixtyfold.reporting.spec import ReportSpec
from sixtyfold.reporting.study_report import study_page
from sixtyfold.reporting.untrusted import visible
from sixtyfold.reporting.weight_sections import moved, repaired

STORY: tuple[Callable[[Results], Section], ...] = (
    *(known, trained, happened, lost_and_gained),
    *(moved, repaired, what_next),
)
"""The sections in the order in which they tell what happened."""


def run(spec: ReportSpec) -> Path:
    """Write the report of a run, or of a study, and return its path.

    Raises:
        IncompleteInput: the run directory holds no finished test answers.
        BadInput: the store holds no such study, or the file cannot be written.
        Corrupted: a manifest, table or JSON file is not readable.
    """
    if spec.run is not None:
        return write_report(spec.run, spec.out)
    name, page = study_page(str(spec.store), spec.study)
    return write_page(page, spec.out or Path(f"{name}-report.html"))


def write_report(run_dir: Path, out: Path | None = None) -> Path:
    """Write one self-contained HTML file and return its path.

    The same run directory gives the same bytes.

    Args:
        run_dir: directory of `sixtyfold run`; sections of missing stages say so.
        out: file to write; `report.html` in the run directory without it.

    Raises:
        What `run` raises.
    """
    results = read_results(run_dir)
    page = Page(
        title=f"What tuning changed: {visible(run_dir.resolve().name)}",
        tiles=tiles(results),
        sections=[*(build(results) for build in STORY), repeat(results.manifests)],
    )
    return write_page(page, out or run_dir / "report.html")


def write_page(page: Page, path: Path) -> Path:
    """Write a page, whole or not at all, and return its path.

    Raises:
        BadInput: the file cannot be written.
    """
    text = render(page)
    try:
        write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot write {path} ({error.strerror}); choose another --out") from None
    return path
