"""What a run directory holds, read once for the report; missing stages are None."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.stage import finished
from sixtyfold.workflows.summary import (
    MODELS,
    probed_test_facts,
    read_answers,
    read_json,
    summarise,
)


class Results(NamedTuple):
    """The tables and numbers behind a report."""

    summary: dict[str, Any]
    answers: dict[str, pl.DataFrame]
    """Test answers by model: `best` (the best-prompted base), `tuned`, `restored`."""
    plain: pl.DataFrame | None
    """Test answers of the base asked without anything around the question."""
    facts: pl.DataFrame | None
    probed: pl.DataFrame | None
    """Probed test facts with relation, domain and level."""
    receipt: dict[str, Any] | None
    drift: pl.DataFrame | None
    tokens: pl.DataFrame | None
    """The tokens whose probability moved most."""
    weight_changes: pl.DataFrame | None
    changes: dict[str, Any] | None
    """Totals of the diff stage over its region."""
    concentration: pl.DataFrame | None
    places: pl.DataFrame | None
    """Where the most changed weights lie."""
    candidates: pl.DataFrame | None
    curve: pl.DataFrame | None
    """Every family of repairs over the norm that remains, all on the same dev facts."""
    scored: pl.DataFrame | None
    """The best of every family on test; None where the search left test out."""
    chosen: dict[str, Any] | None
    manifests: dict[str, dict[str, Any]]
    """Every finished stage by its path in the run directory, in the order of the main path."""


ORDER = ("facts", "probe", "selection", "tuned", "answers", "drift", "diff", "search", "restored",
         "compare")  # fmt: skip


def read_results(run: Path) -> Results:
    """Read everything the report shows.

    Raises:
        IncompleteInput: the directory holds no finished test answers.
        Corrupted: a manifest, table or JSON file is not readable.
    """
    summary = summarise(run)
    shown = {"best": summary["best_prompt"], "tuned": "tuned", "restored": "restored"}
    answers = {
        name: table
        for name, key in shown.items()
        if key is not None and (table := read_answers(run, MODELS[key], "test")) is not None
    }
    return Results(
        summary=summary,
        answers=answers,
        plain=read_answers(run, MODELS["base"], "test"),
        facts=_table(run / "facts", "facts"),
        probed=probed_test_facts(run),
        receipt=read_json(run / "selection" / "receipt.json"),
        drift=_table(run / "drift", "drift"),
        tokens=_table(run / "drift", "drift_tokens"),
        weight_changes=_table(run / "diff", "weight_changes"),
        changes=read_json(run / "diff" / "changes.json"),
        concentration=_table(run / "diff", "concentration"),
        places=_table(run / "diff", "places"),
        candidates=_table(run / "search", "candidates"),
        curve=_table(run / "search", "curve"),
        scored=_table(run / "search", "test"),
        chosen=read_json(run / "search" / "chosen.json"),
        manifests=_manifests(run),
    )


def _table(stage: Path, name: str) -> pl.DataFrame | None:
    if not (stage / "manifest.json").is_file() or not (stage / f"{name}.parquet").is_file():
        return None
    return finished(stage).table(name)


def _manifests(run: Path) -> dict[str, dict[str, Any]]:
    found = [path.parent for depth in ("*", "*/*") for path in run.glob(f"{depth}/manifest.json")]
    names = sorted(path.relative_to(run).as_posix() for path in found)
    rank = {name: index for index, name in enumerate(ORDER)}
    names.sort(key=lambda name: rank.get(name.split("/")[0], len(ORDER)))
    return {name: finished(run / name).manifest for name in names}
