"""What a person sees when `sixtyfold check` ends; with `--json`, what a script gets."""

from __future__ import annotations

from typing import Any

from sixtyfold.console import show_stage
from sixtyfold.core.stage import Finished
from sixtyfold.core.visible_text import visible
from sixtyfold.printing import print_table, say
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
        _print_counts(found)
        if found["knowledge"]:
            _print_knowledge(found["knowledge"])
            say(found["knowledge"]["protocol"])
        if found["text"]:
            say(
                f"{found['text']['rows']} rows that are no facts: mean log-probability of an "
                f"answer token {found['text']['mean_logp_per_token']:.3f}"
            )
        if not rows.is_empty():
            _print_offending(rows.iter_rows(named=True))
            more = found["rows"] - found["recommendations"]["keep"] - rows.height
            if more:
                say(f"and {more} more rows: {result.path / 'rows.parquet'}")
        for line in effect_lines(found["expected_effect"]):
            say(line)
        say(f"cleaned file: {result.path / ('cleaned' + spec.file.suffix.lower())}")
        show_stage(result, spec, silent=False)
    return {**show_stage(result, spec, silent=True), "check": found}


def _print_counts(found: dict[str, Any]) -> None:
    rows = [("all", str(found["rows"]), "")]
    for heading in ("kinds", "problems", "recommendations"):
        for name, count in found[heading].items():
            if count:
                share = f"{100 * count / found['rows']:.1f}%"
                rows.append((f"{heading[:-1]}: {name}", str(count), share))
    print_table(("rows", "count", "share"), rows)


def _print_knowledge(found: dict[str, Any]) -> None:
    rows = []
    for name in BUCKETS:
        share = found["buckets"][name]
        if share is not None:
            value, low, high = (f"{100 * share[key]:.1f}%" for key in ("value", "low", "high"))
            rows.append((name, str(share["facts"]), value, f"{low}–{high}"))
    print_table(("the model's knowledge", "facts", "share", "95% interval"), rows)


def _print_offending(rows: Any) -> None:
    shown = []
    for row in rows:
        texts = [row[name] for name in ("question", "answer", "reason")]
        cut = [visible(" ".join(text.split()), longest=_LONGEST) for text in texts]
        shown.append((str(row["row"]), row["recommendation"], *cut))
    print_table(("row", "not kept", "question", "answer", "reason"), shown)
