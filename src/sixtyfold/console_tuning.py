"""What a person sees when `sixtyfold tune` ends; with `--json`, what a script gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.console import show_stage
from sixtyfold.core.spec import Spec
from sixtyfold.core.stage import Finished
from sixtyfold.printing import print_table, say, say_result
from sixtyfold.workflows.console import percent

_ALPHA = 0.05
_LADDER = ("examples", "rate", "dev", "test", "out of domain", "below best (5%–95%)", "verdict")


def show_tuning(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    """Show what was trained and asked meanwhile, the best learning rate, or how many are enough."""
    kind = result.manifest["stage"]
    if kind == "tune":
        return _show_training(result, spec, silent=silent)
    name = "ladder" if kind == "tune-ladder" else "rates"
    table, chosen = result.table(name), result.json("chosen")
    if not silent:
        _print_ladder(table) if name == "ladder" else _print_rates(table)
        words = (
            ladder_words(chosen, min(table["size"].to_list()))
            if name == "ladder"
            else _rate_words(chosen)
        )
        say(words)
        say_result(result.path / "tuned")
    return {**show_stage(result, spec, silent=True), name: table.to_dicts(), "chosen": chosen}


def _show_training(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    folder = result.path / "watch"
    watched = _watched(folder)
    if watched is None or silent:
        return show_stage(result, spec, silent=silent)
    _print_steps(watched)
    record = json.loads((folder / "watch.json").read_text(encoding="utf-8"))
    say(f"asking took {record['share_of_time']:.0%} of the time")
    if record["skipped"]:
        say(f"not asked, to keep it short, at steps {', '.join(map(str, record['skipped']))}")
    if record["chosen"]:
        say(f"kept: step {record['chosen']['step']}, {record['rule']}")
    return show_stage(result, spec, silent=silent)


def _watched(folder: Path) -> pl.DataFrame | None:
    """Return the figures of every step that was asked, if the training was watched."""
    parts = sorted(folder.glob("step-*.parquet"))
    return pl.concat([pl.read_parquet(part) for part in parts]) if parts else None


def _print_steps(watched: pl.DataFrame) -> None:
    """Print one row a step; percent right by domain and level, divergence in nats."""
    shown = [name for name in watched["group"].unique(maintain_order=True) if not _by_both(name)]
    table = []
    for (step,), rows in watched.group_by("step", maintain_order=True):
        values = dict(zip(rows["group"], rows["value"], strict=True))
        cells = ("–" if name not in values else _figure(name, values[name]) for name in shown)
        table.append((str(step), *cells))
    print_table(("step", *shown), table)


def _by_both(group: str) -> bool:
    """Whether a group is one level of one domain, of which there are too many to show."""
    return " level " in group


def _figure(group: str, value: float) -> str:
    return f"{value:.3f}" if group.startswith("kl") else f"{100 * value:.1f}"


def _print_rates(rates: pl.DataFrame) -> None:
    table = []
    for row in rates.iter_rows(named=True):
        bounds = f"{100 * row['low']:.1f}–{100 * row['high']:.1f}"
        value = f"{100 * row['value']:.1f}"
        table.append((f"{row['learning_rate']:g}", value, bounds, str(row["n"])))
    print_table(("learning rate", "dev, macro", "95% interval", "n"), table)


def _rate_words(chosen: dict[str, Any]) -> str:
    return f"learning rate {chosen['learning_rate']:g} was best on dev"


def _print_ladder(ladder: pl.DataFrame) -> None:
    table = []
    for row in ladder.iter_rows(named=True):
        shares = [
            "–" if row[name] is None else f"{100 * row[name]:.1f}"
            for name in ("dev", "test", "test_out")
        ]
        below = "best on dev"
        if row["low"] is not None:
            below = percent({**row, "value": row["below_best"]}, sign=True)
        worse = row["p_worse"]
        verdict = "enough" if row["enough"] else ""
        if worse is not None:
            verdict = f"worse, p = {worse:.3f}" if worse < _ALPHA else f"p = {worse:.2f}"
        table.append((str(row["size"]), f"{row['learning_rate']:g}", *shares, below, verdict))
    print_table(_LADDER, table)


def ladder_words(chosen: dict[str, Any], smallest: int) -> str:
    """Say how many examples are enough.

    Args:
        chosen: what the ladder concluded.
        smallest: its smallest size.
    """
    delta, best = chosen["delta_points"], chosen["best"]
    if chosen["enough"] < best:
        within = f"less than {delta:g} points below the best, {best}"
        words = f"{chosen['enough']} examples are enough: {within}"
    elif best == smallest:
        words = f"{best} examples are enough: the best on dev, and nothing smaller was tried"
    else:
        words = f"no smaller size is shown to be within {delta:g} points of the best, {best}"
    if chosen["hurts"]:
        words += f"; more hurts at {', '.join(map(str, chosen['hurts']))}"
    return words
