"""The numbers of a run: `summary.json`, computed from the answers its stages left behind.

Reads finished stage directories only. What is printed (`console.py`) and what the report shows
come from this one dictionary, so they cannot disagree.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.accuracy import (
    LEAST_PER_LEVEL,
    accuracy,
    check_answers,
    majority_baseline,
    merged_levels,
)
from sixtyfold.core.errors import Corrupted, IncompleteInput
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.stage import finished
from sixtyfold.stages.compare.comparison import macro_difference
from sixtyfold.stages.compare.transitions import state_counts, transitions

PROMPTS = {"base": "base", "base_few_shot": "base-fewshot", "base_chat": "base-chat"}
"""The base, three ways: key in the summary to name of the answers directory."""

MODELS = {**PROMPTS, "tuned": "tuned", "restored": "restored"}


def summarise(run: Path) -> dict[str, Any]:
    """Return the content of `summary.json` (schema in design §7) for a run directory.

    A model without answers on test (a base without chat template, a run that stopped before the
    repair) is null, and so is what would be computed from it. Shares are in 0..1, rounded to six
    digits.

    Args:
        run: directory of `sixtyfold run`, with `answers/NAME-test` and `answers/NAME-dev`.

    Raises:
        IncompleteInput: there are no finished test answers of any model.
        Corrupted: a table or JSON file is not readable.
    """
    tables = {key: read_answers(run, name, "test") for key, name in MODELS.items()}
    if not any(table is not None for table in tables.values()):
        raise IncompleteInput(
            f"{run} holds no finished answers/NAME-test; a directory that 'sixtyfold run' or "
            "'sixtyfold evaluate' wrote is needed"
        )
    best = best_prompt(run)
    base = tables[best] if best else None
    return {
        **{key: _by_domain(table) for key, table in tables.items()},
        "best_prompt": best,
        "gain_over_best_prompt": _gain(base, tables["tuned"]),
        "transitions": {
            "base_to_tuned": _transitions(base, tables["tuned"]),
            "tuned_to_restored": _transitions(tables["tuned"], tables["restored"]),
        },
        "majority": _majority(run, tables),
        "chosen": _chosen(run),
        **_levels(run),
    }


def best_prompt(run: Path) -> str | None:
    """Return which way of asking the base did best in-domain on *dev* (macro over relations).

    Test answers are only looked at for their existence. Ties go to the plainer prompt. With one
    way measured there is nothing to choose.

    Returns:
        A key of `PROMPTS`, or None where the base was not measured, or several ways were but none
        of them on dev.
    """
    measured = [key for key, name in PROMPTS.items() if _is_finished(run, name, "test")]
    if len(measured) <= 1:
        return measured[0] if measured else None
    scores: dict[str, float] = {}
    for key in measured:
        dev = read_answers(run, PROMPTS[key], "dev")
        found = None if dev is None else accuracy(dev, "in").macro_relation
        if found is not None:
            scores[key] = found.value
    return max(scores, key=lambda key: scores[key]) if scores else None


def read_answers(run: Path, name: str, split: str) -> pl.DataFrame | None:
    """Read the answers of one model on one split; None where that was not (completely) done."""
    if not _is_finished(run, name, split):
        return None
    path = _answers_path(run, name, split)
    return check_answers(finished(path, "evaluate").table("answers"), str(path))


def read_json(path: Path) -> Any:
    """Read a stage's JSON file; None where there is none.

    Raises:
        Corrupted: it is not JSON.
    """
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Corrupted(f"{path} is not readable JSON ({error}); run the stage again") from None


def probed_test_facts(run: Path) -> pl.DataFrame | None:
    """Return the probed facts of the test split: probe table with relation and domain."""
    if not all((run / stage / "manifest.json").is_file() for stage in ("facts", "probe")):
        return None
    facts = finished(run / "facts").table("facts").filter(pl.col("split") == "test")
    columns = ["fact_id", "relation", "domain", "subject", "objects", "question"]
    return (
        finished(run / "probe", "probe")
        .table("probe")
        .join(facts.select(columns), on="fact_id", how="inner")
    )


def _answers_path(run: Path, name: str, split: str) -> Path:
    return run / "answers" / f"{name}-{split}"


def _is_finished(run: Path, name: str, split: str) -> bool:
    return (_answers_path(run, name, split) / "manifest.json").is_file()


def _by_domain(table: pl.DataFrame | None) -> dict[str, Any] | None:
    if table is None:
        return None
    return {domain: accuracy(table, domain).rounded() for domain in DOMAINS}


def _gain(base: pl.DataFrame | None, tuned: pl.DataFrame | None) -> dict[str, Any] | None:
    """Tuned minus best-prompted base, paired, macro over these relations."""
    if base is None or tuned is None:
        return None
    rows = transitions(base, tuned)
    gains: dict[str, Any] = {}
    for domain in DOMAINS:
        found = macro_difference(rows.filter(pl.col("domain") == domain))
        gains[domain] = found and found.estimate.rounded()
    return gains


def _transitions(before: pl.DataFrame | None, after: pl.DataFrame | None) -> dict[str, Any] | None:
    """Counts over all test facts, and the same per domain."""
    if before is None or after is None:
        return None
    rows = transitions(before, after)
    per_domain = {
        domain: state_counts(rows.filter(pl.col("domain") == domain)) for domain in DOMAINS
    }
    return {**state_counts(rows), **per_domain}


def _majority(run: Path, tables: dict[str, pl.DataFrame | None]) -> dict[str, Any] | None:
    tested = next(table for table in tables.values() if table is not None)
    if not (run / "facts" / "manifest.json").is_file():
        return None
    facts = finished(run / "facts").table("facts")
    found = {
        domain: majority_baseline(facts, tested.filter(pl.col("domain") == domain))
        for domain in DOMAINS
    }
    return {domain: part and part.rounded() for domain, part in found.items()}


def _chosen(run: Path) -> dict[str, Any]:
    receipt = read_json(run / "selection" / "receipt.json") or {}
    return {
        "size": receipt.get("size"),
        "levels": receipt.get("levels"),
        "restore": read_json(run / "search" / "chosen.json"),
    }


def _levels(run: Path) -> dict[str, Any]:
    """Probed test facts per level, the same as sums of probabilities, and what must be merged."""
    facts = probed_test_facts(run)
    if facts is None:
        return {"levels": None, "level_mass": None, "levels_merged": None}
    sizes = [int((facts["level"] == level).sum()) for level in LEVELS]
    mass = [round(float(facts["level_probs"].list.get(level).sum()), 6) for level in LEVELS]
    groups = merged_levels(sizes) if min(sizes) < LEAST_PER_LEVEL else None
    return {"levels": sizes, "level_mass": mass, "levels_merged": groups}
