"""The searchable table: every test fact with what each model said."""

from __future__ import annotations

import polars as pl

from sixtyfold.reporting.page import FactTable
from sixtyfold.reporting.results import Results
from sixtyfold.reporting.untrusted import visible

NAMES = {"best": "base", "tuned": "tuned", "restored": "restored"}


def fact_table(results: Results) -> FactTable | None:
    """Return the rows of the table, facts that were lost first.

    The state compares base (best prompt) with tuned; where there is a restored model, a lost fact
    it answers is "lost, restored".

    Returns:
        The table, or None without the answers of two models.
    """
    present = [name for name in NAMES if name in results.answers]
    if len(present) < 2:
        return None
    rows = _joined(results, present).to_dicts()
    shown = sorted((_row(row, present) for row in rows), key=_first_lost)
    columns = ["state", "domain", "relation", "level", "recall", "question", "accepted",
               *(NAMES[name] for name in present)]  # fmt: skip
    return FactTable(columns, shown, filters=[0, 1, 2, 3])


def _joined(results: Results, present: list[str]) -> pl.DataFrame:
    table = results.answers[present[0]].select("fact_id", "relation", "domain", "prompt", "level")
    for name in present:
        side = results.answers[name].select(
            "fact_id", pl.col("hit").alias(f"hit_{name}"), pl.col("answer").alias(f"answer_{name}")
        )
        table = table.join(side, on="fact_id", how="inner")
    if results.facts is not None:
        asked = results.facts.select("fact_id", "question", "objects")
        table = table.join(asked, on="fact_id", how="left")
    else:
        table = table.with_columns(
            question=pl.col("prompt"), objects=pl.lit([], pl.List(pl.String))
        )
    if results.probed is not None:
        table = table.join(results.probed.select("fact_id", "recall"), on="fact_id", how="left")
    else:
        table = table.with_columns(recall=pl.lit(None, dtype=pl.Float64))
    return table.sort("fact_id")


def _row(row: dict[str, object], present: list[str]) -> list[str | float | int | None]:
    recall, objects = row["recall"], row["objects"]
    return [
        _state(row, present),
        str(row["domain"]),
        visible(str(row["relation"])),
        "–" if row["level"] is None else str(row["level"]),
        round(recall, 3) if isinstance(recall, float) else None,
        visible(str(row["question"])),
        visible("; ".join(objects) if isinstance(objects, list) else ""),
        *(f"{'✓' if row[f'hit_{name}'] else '✗'} {visible(str(row[f'answer_{name}'] or ''))}"
          for name in present),
    ]  # fmt: skip


def _state(row: dict[str, object], present: list[str]) -> str:
    first, second = row[f"hit_{present[0]}"], row[f"hit_{present[1]}"]
    states = {(True, True): "kept", (True, False): "lost", (False, True): "gained"}
    state = states.get((bool(first), bool(second)), "never")
    if len(present) == 3 and second != row["hit_restored"]:
        return f"{state}, {'restored' if row['hit_restored'] else 'broken again'}"
    return state


def _first_lost(row: list[str | float | int | None]) -> int:
    return ["lost", "gain", "kept", "neve"].index(str(row[0])[:4])
