"""What was lost and gained: every test fact with what each model said."""

from __future__ import annotations

import polars as pl

from sixtyfold.reporting.packed import Cells, packed_within
from sixtyfold.reporting.page import LongTable, Section
from sixtyfold.reporting.results import Results
from sixtyfold.reporting.untrusted import visible
from sixtyfold.workflows.console import transition_words

NAMES = {"best": "base", "tuned": "tuned", "restored": "restored"}
FILTERS = ("state", "domain", "relation", "level")
EXPLAINED = (
    "Every test fact with its accepted answers and what each model said (✓ right, ✗ wrong). Choose "
    "a state to see what was lost or gained; search looks at every column. Control characters and "
    "text-direction marks are spelled out."
)
_FIRST = ("lost", "gained", "kept", "never")


def lost_and_gained(results: Results) -> Section:
    """Fact by fact: what the base (best prompt) and the tuned model answered, lost facts first."""
    title = "What was lost and gained"
    present = [name for name in NAMES if name in results.answers]
    if len(present) < 2:
        missing = "Not in this run: finished test answers of two models ('sixtyfold evaluate')."
        return Section("facts", title, missing=missing)
    names = {
        "base_to_tuned": "Best-prompted base to tuned",
        "tuned_to_restored": "Tuned to restored",
    }
    counts = results.summary["transitions"]
    text = [
        f"{words}: {transition_words(counts[key])}."
        for key, words in names.items()
        if counts[key] is not None
    ]
    joined = _joined(results, present)
    found = packed_within(lambda longest: _columns(joined, present, longest), FILTERS)
    left_out = [] if found.left_out is None else [found.left_out]
    table = LongTable("facts", "Facts and answers", found.text)
    return Section("facts", title, [*text, EXPLAINED, *left_out], long_tables=[table])


def _joined(results: Results, present: list[str]) -> pl.DataFrame:
    """One row per fact that all models answered: facts that were lost first, then gained."""
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
    changed = _changed(present[0], present[1])
    first = changed.replace_strict(list(_FIRST), list(range(len(_FIRST))), return_dtype=pl.Int8)
    return table.with_columns(changed=changed, first=first).sort("first", "fact_id")


def _changed(before: str, after: str) -> pl.Expr:
    one, other = pl.col(f"hit_{before}"), pl.col(f"hit_{after}")
    state = pl.when(one & other).then(pl.lit("kept")).when(one).then(pl.lit("lost"))
    return state.when(other).then(pl.lit("gained")).otherwise(pl.lit("never"))


def _columns(joined: pl.DataFrame, present: list[str], longest: int) -> dict[str, Cells]:
    def texts(name: str) -> list[str]:
        return [visible(text, longest) for text in joined[name]]

    levels = ["–" if level is None else str(level) for level in joined["level"]]
    accepted = [visible(names, longest) for names in joined["objects"].list.join("; ")]
    return {
        "state": _states(joined, present),
        "domain": texts("domain"),
        "relation": texts("relation"),
        "level": levels,
        "recall": joined["recall"].round(3).to_list(),
        "question": texts("question"),
        "accepted": accepted,
        **{
            NAMES[name]: [
                f"{'✓' if hit else '✗'} {text}"
                for hit, text in zip(joined[f"hit_{name}"], texts(f"answer_{name}"), strict=True)
            ]
            for name in present
        },
    }


def _states(joined: pl.DataFrame, present: list[str]) -> list[str]:
    """What tuning changed; where there is a restored model, also what that changed."""
    if len(present) < 3:
        return joined["changed"].to_list()
    tuned, restored = pl.col(f"hit_{present[1]}"), pl.col("hit_restored")
    again = (
        pl.when(tuned == restored)
        .then(pl.lit(""))
        .when(tuned)
        .then(pl.lit(", lost by the repair"))
        .when(pl.col("changed") == "lost")
        .then(pl.lit(", brought back"))
        .otherwise(pl.lit(", gained by the repair"))
    )
    return joined.select(pl.col("changed") + again).to_series().to_list()
