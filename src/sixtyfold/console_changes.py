"""What a person sees of a comparison, of drift and of restored weights."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.console import show_stage
from sixtyfold.core.spec import Spec
from sixtyfold.core.stage import Finished
from sixtyfold.printing import print_frame, say

_TOKENS_SHOWN = 10
_LONG = {"drift", "drift_positions"}  # tables of facts, which nobody reads on a screen


def show_comparison(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    """Show what was kept and lost, and the differences with their tests."""
    from sixtyfold.stages.compare.words import FOOT, difference_table, state_table

    comparison = result.json("comparison")
    if not silent:
        print_frame(state_table(comparison))
        print_frame(difference_table(comparison))
        say(FOOT)
        for side, other in (("before", "after"), ("after", "before")):
            alone = result.manifest[f"only_{side}"]
            if alone:
                say(f"- {alone} facts stand in {side} only and are left out (not in {other})")
    return {**show_stage(result, spec, silent=silent), "comparison": comparison}


def show_drift(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    """Show mean drift by group, the tokens that moved most, and whether drift predicts loss."""
    from sixtyfold.stages.drift.words import (
        prediction_table,
        summary_table,
        tokens_table,
        words_of,
    )

    tables = {name: result.table(name) for name in result.manifest["rows"] if name not in _LONG}
    if not silent:
        print_frame(summary_table(tables["drift_summary"]))
        tokens = tables["drift_tokens"]
        if tokens.height:
            print_frame(tokens_table(tokens, _TOKENS_SHOWN))
        if "drift_prediction" in tables:
            print_frame(prediction_table(tables["drift_prediction"]))
        for line in words_of(result.manifest):
            say(line)
    rows = {name: table.to_dicts() for name, table in tables.items()}
    return {**show_stage(result, spec, silent=silent), **rows}


def show_restored(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    """Show what restoring left of the update, one row per checkpoint where several were made."""
    if result.manifest["stage"] != "restore-shares":
        if not silent:
            say(_one_share(result.manifest["restored"]))
        return show_stage(result, spec, silent=silent)
    table = result.table("restored_shares")
    if not silent:
        print_frame(_shares(table))
    return {**show_stage(result, spec, silent=silent), "restored_shares": table.to_dicts()}


def _one_share(counts: dict[str, Any]) -> str:
    """Say how many weights went back and what is left.

    >>> _one_share({"restored": 20, "numel": 1000, "remaining_norm": 1.5})
    '20 of 1,000 weights put back; norm of what is left of the update: 1.5'
    """
    put_back = f"{counts['restored']:,} of {counts['numel']:,} weights put back"
    return f"{put_back}; norm of what is left of the update: {counts['remaining_norm']:.4g}"


def _shares(table: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "top": [f"{top:g}%" for top in table["top"]],
            "put back": [f"{count:,}" for count in table["restored"]],
            "of weights": [f"{count:,}" for count in table["numel"]],
            "changed by it": [f"{count:,}" for count in table["moved"]],
            "norm left": [f"{norm:.4g}" for norm in table["remaining_norm"]],
            "checkpoint": table["path"],
        }
    )
