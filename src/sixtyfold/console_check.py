"""What a person sees when `sixtyfold check` ends; with `--json`, what a script gets."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sixtyfold.console import show_stage
from sixtyfold.core.stage import Finished
from sixtyfold.reporting.untrusted import visible
from sixtyfold.workflows.check.calibration.predict import effect_lines
from sixtyfold.workflows.check.knowledge import BUCKETS
from sixtyfold.workflows.check.run import first_offending
from sixtyfold.workflows.check.spec import CheckSpec

_LONGEST = 60  # characters of a question or answer


def show_check(result: Finished, spec: CheckSpec, *, silent: bool) -> dict[str, Any]:
    """Show counts, what the model knows, and the first rows that are not kept."""
    found = result.json("check")
    rows = first_offending(result.table("rows"))
    if not silent:
        console = Console()
        console.print(_counts(found))
        if found["knowledge"]:
            console.print(_knowledge(found["knowledge"]))
            console.print(found["knowledge"]["protocol"], highlight=False, markup=False)
        if found["text"]:
            console.print(
                f"{found['text']['rows']} rows that are no facts: mean log-probability of an "
                f"answer token {found['text']['mean_logp_per_token']:.3f}",
                highlight=False,
            )
        if not rows.is_empty():
            console.print(_offending(rows.iter_rows(named=True)))
            more = found["rows"] - found["recommendations"]["keep"] - rows.height
            if more:
                console.print(f"and {more} more rows: {result.path / 'rows.parquet'}",
                              highlight=False, markup=False, soft_wrap=True)  # fmt: skip
        for line in effect_lines(found["expected_effect"]):
            console.print(line, highlight=False, markup=False)
        console.print(
            f"cleaned file: {result.path / ('cleaned' + spec.file.suffix.lower())}",
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        show_stage(result, spec, silent=False)
    return {**show_stage(result, spec, silent=True), "check": found}


def _counts(found: dict[str, Any]) -> Table:
    table = Table("rows", "", "")
    table.add_row("all", str(found["rows"]), "")
    for heading in ("kinds", "problems", "recommendations"):
        for name, count in found[heading].items():
            if count:
                share = f"{100 * count / found['rows']:.1f}%"
                table.add_row(f"{heading[:-1]}: {name}", str(count), share)
    return table


def _knowledge(found: dict[str, Any]) -> Table:
    table = Table("the model's knowledge", "facts", "share", "95% interval")
    for name in BUCKETS:
        share = found["buckets"][name]
        if share is not None:
            value, low, high = (f"{100 * share[key]:.1f}%" for key in ("value", "low", "high"))
            table.add_row(name, str(share["facts"]), value, f"{low}–{high}")
    return table


def _offending(rows: Any) -> Table:
    table = Table("row", "not kept", "question", "answer", "reason")
    for row in rows:
        texts = [row[name] for name in ("question", "answer", "reason")]
        shown = [escape(visible(" ".join(text.split()), longest=_LONGEST)) for text in texts]
        table.add_row(str(row["row"]), row["recommendation"], *shown)
    return table
