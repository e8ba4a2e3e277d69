"""What moved and what the repair did: drift, weight changes, restoration.

Turns the tables of drift, diff and search into sections; measures nothing.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.reporting.charts import (
    concentration_chart,
    drift_chart,
    restoration_chart,
    update_map_chart,
)
from sixtyfold.reporting.page import Figure, Section, Table
from sixtyfold.reporting.results import Results
from sixtyfold.reporting.untrusted import visible
from sixtyfold.stages.compare.transitions import transitions
from sixtyfold.stages.diff.words import changed_line, layers_line, places_table
from sixtyfold.workflows.console import percent
from sixtyfold.workflows.search_words import FOOT, arms_words, conclusions

NULL_EXPLAINED = (
    "Relative change divides by small weights, so it concentrates even where the update means "
    "nothing. Read the concentration against its null: the same update shuffled within each "
    "tensor. Absolute change is its own shuffling, so its null is a normal update of each tensor's "
    "size. Only what stands above the null is about where tuning acted."
)
ITS_OWN_SHUFFLING = "absolute"
"""What is ranked by a measure that a permutation within the tensors leaves as it is."""

REPAIR_EXPLAINED = (
    "Putting weights back leaves less of the update: 100% is the tuned model, 0% the base. "
    "Families can be compared where they leave the same share of the update's norm."
)
QUANTILES = {"least": 0.05, "quarter": 0.25, "median": 0.5, "upper": 0.75, "most": 0.95}
DRIFT_MEASURES = {
    "kl_tuned_base": "KL(tuned ‖ base), whole vocabulary, same question",
    "kl_top10": "KL over the tuned model's top 10, base asked by cloze (P2)",
}


def moved(results: Results) -> Section:
    """Token drift, update map, concentration next to its null."""
    text: list[str] = []
    tables: list[Table] = []
    figures: list[Figure] = []
    absent = []
    if results.drift is None:
        absent.append("drift")
    else:
        _add_drift(results.drift, results.answers, tables, figures)
    if results.tokens is not None and not results.tokens.is_empty():
        tables.append(_tokens(results.tokens))
    if results.weight_changes is None:
        absent.append("diff")
    else:
        figures.append(_update_map(results.weight_changes))
    if results.changes is not None:
        text.append(f"{changed_line(results.changes)}.")
    if results.concentration is not None:
        text.append(NULL_EXPLAINED)
        figures.append(_concentration(results.concentration))
    if results.places is not None:
        line = layers_line(results.places)
        text.append(f"{line[0].upper()}{line[1:]}.")
        tables.append(_places(results.places))
    missing = f"Not in this run: no finished result of {_and(absent)}." if absent else None
    return Section("moved", "What moved", text, tables, figures, missing)


def repaired(results: Results) -> Section:
    """The repair candidates on dev, and the best of each family where test was asked."""
    title = "What the repair did"
    if results.candidates is None or results.curve is None:
        missing = "Not in this run: no finished result of 'sixtyfold search'."
        return Section("repaired", title, missing=missing)
    rows = _candidate_rows(results.candidates, results.curve, results.chosen)
    same = f"on the {rows[0]['n']} dev facts that all candidates answered"
    table = Table(
        f"Repair candidates {same}, and each on all it was asked",
        ["candidate", "remaining update", "accuracy (95% interval)", "over tuned", "on all asked",
         "facts", "chosen"],
        [_candidate_cells(row) for row in rows],
    )  # fmt: skip
    text = [REPAIR_EXPLAINED]
    if results.chosen is not None:
        left = f"{100 * results.chosen['remaining_norm']:.1f}% of the update left"
        text.append(f"Chosen on dev: {visible(_label(results.chosen))}, {left}.")
    caption = f"Dev accuracy over what remains of the update, {same}; the ring marks the chosen."
    figure = Figure("restoration", caption, restoration_chart(rows), table)
    tables = []
    if results.scored is not None and results.chosen is not None:
        tables.append(_scored(results.scored))
        _, *verdicts = conclusions(results.chosen, results.scored)
        text += [f"{each[0].upper()}{each[1:]}." for each in verdicts]
    return Section("repaired", title, text, tables, figures=[figure])


def _scored(test: pl.DataFrame) -> Table:
    """The best of each family on test beside tuned, base and the fixed shares."""
    rows = arms_words(test)
    cells = [[visible(str(cell)) for cell in row] for row in rows.iter_rows()]
    return Table(f"The best of each family on test ({FOOT})", rows.columns, cells)


def _and(stages: list[str]) -> str:
    return " and of ".join(f"'sixtyfold {stage}'" for stage in stages)


def _add_drift(
    drift: pl.DataFrame,
    answers: dict[str, pl.DataFrame],
    tables: list[Table],
    figures: list[Figure],
) -> None:
    """Token drift by what happened to the fact (base to tuned)."""
    rows = drift.with_columns(state=pl.lit("all facts"))
    if "best" in answers and "tuned" in answers:
        states = transitions(answers["best"], answers["tuned"]).select("fact_id", "state")
        rows = drift.join(states, on="fact_id", how="left").with_columns(
            pl.col("state").fill_null("not in test")
        )
    measures = [name for name in DRIFT_MEASURES if name in rows.columns]
    spread = _spread(rows, measures)
    cells = [
        [row["state"], str(row["n"]), DRIFT_MEASURES[row["measure"]],
         *(f"{row[name]:.3f}" for name in QUANTILES)]
        for row in spread
    ]  # fmt: skip
    columns = ["state", "facts", "measure", *(f"{100 * at:g}%" for at in QUANTILES.values())]
    caption = f"Token drift of {drift.height:,} facts in nats, by what happened to the answer"
    table = Table(caption, columns, cells)
    tables.append(table)
    if measures:
        shown = [row for row in spread if row["measure"] == measures[0]]
        caption = (
            f"{DRIFT_MEASURES[measures[0]]}, at the first answer token: bars hold the middle half "
            "of the facts, lines nine tenths, ticks the median."
        )
        figures.append(Figure("drift", caption, drift_chart(shown), table))


def _spread(rows: pl.DataFrame, measures: list[str]) -> list[dict[str, Any]]:
    """Quantiles of drift per state and measure: state, measure, n and `QUANTILES`."""
    found = []
    for (state,), group in sorted(rows.group_by("state"), key=lambda item: str(item[0])):
        for name in measures:
            at = {key: group[name].quantile(share, interpolation="linear")
                  for key, share in QUANTILES.items()}  # fmt: skip
            found.append({"state": str(state), "measure": name, "n": group.height, **at})
    return found


def _tokens(tokens: pl.DataFrame) -> Table:
    """The tokens that gained and lost most probability."""
    cells = [
        ["up" if row["direction"] == "up" else "down", f"“{visible(row['text'])}”",
         *(f"{100 * row[name]:.2f}%" for name in ("mean_base", "mean_tuned")),
         f"{100 * row['mean_change']:+.2f}".replace("-", "−"), str(row["up"]), str(row["down"])]
        for row in tokens.to_dicts()
    ]  # fmt: skip
    columns = ["went", "token", "base", "tuned", "change, points", "rose in facts", "fell in facts"]
    return Table("Tokens whose probability moved most, at the first answer token", columns, cells)


def _update_map(changes: pl.DataFrame) -> Figure:
    grouped = (
        changes.filter(pl.col("layer").is_not_null())
        .group_by("layer", "block")
        .agg(
            rms=(pl.col("sum_squared").sum() / pl.col("numel").sum()).sqrt(),
            changed=pl.col("changed").sum() / pl.col("numel").sum(),
        )
        .sort("layer", "block")
    )
    rows = grouped.to_dicts()
    table = Table(
        "Root mean square of the update",
        ["layer", "block", "RMS", "weights changed"],
        [[str(row["layer"]), row["block"], f"{row['rms']:.3e}", f"{100 * row['changed']:.1f}%"]
         for row in rows],
    )  # fmt: skip
    caption = "Size of the update by layer and block (root mean square over the weights)."
    return Figure("update-map", caption, update_map_chart(rows), table)


def null_of(measure: str) -> str:
    """Return the column of the null that a concentration is read against."""
    return "null_gaussian" if measure == ITS_OWN_SHUFFLING else "null_permutation"


def _concentration(table: pl.DataFrame) -> Figure:
    rows: list[dict[str, Any]] = []
    cells = []
    for row in table.sort("measure", "top_percent").to_dicts():
        series = f"{row['measure']} change"
        base = {"percent": row["top_percent"], "series": series}
        kinds = {"update": row["share"], "null": row[null_of(row["measure"])]}
        rows += [
            {**base, "share": share, "kind": kind}
            for kind, share in kinds.items()
            if share is not None
        ]
        permuted = None if row["measure"] == ITS_OWN_SHUFFLING else row["null_permutation"]
        shares = [row["share"], permuted, row["null_gaussian"]]
        written = ("–" if share is None else f"{100 * share:.1f}%" for share in shares)
        cells.append([series, f"{row['top_percent']:g}%", *written])
    columns = ["ranked by", "top", "share of the change", "null: shuffled", "null: Gaussian"]
    caption = "Share of the change that the top weights hold (solid), next to its null (dashed)."
    shown = Table("Concentration of the update next to its nulls", columns, cells)
    return Figure("concentration", caption, concentration_chart(rows), shown)


def _places(places: pl.DataFrame) -> Table:
    """Where the most changed weights lie, by block type."""
    rows = places_table(places, "block")
    caption = "Where the weights of largest relative change lie, by block type"
    return Table(caption, rows.columns, [[str(cell) for cell in row] for row in rows.iter_rows()])


def _candidate_rows(
    candidates: pl.DataFrame, curve: pl.DataFrame, chosen: dict[str, Any] | None
) -> list[dict[str, Any]]:
    listed = {row["candidate"]: row for row in candidates.to_dicts()}
    rows = []
    for point in curve.to_dicts():
        own = listed[point["candidate"]]
        rows.append(
            {
                **{key: point[key] for key in ("remaining_norm", "accuracy", "low", "high", "n")},
                **{key: point[key] for key in ("over_tuned", "over_tuned_low", "over_tuned_high")},
                "family": visible(own["family"]),
                "label": visible(_label(own)),
                "on_all": own["accuracy"],
                "asked": own["n"],
                "chosen": chosen is not None and chosen["candidate"] == point["candidate"],
            }
        )
    return sorted(rows, key=lambda row: (row["family"], -row["remaining_norm"], row["label"]))


def _candidate_cells(row: dict[str, Any]) -> list[str]:
    over = "–"
    if row["over_tuned"] is not None:
        names = {"value": "over_tuned", "low": "over_tuned_low", "high": "over_tuned_high"}
        over = percent({key: row[name] for key, name in names.items()}, sign=True)
    return [
        row["label"],
        f"{100 * row['remaining_norm']:.1f}%",
        percent({**row, "value": row["accuracy"]}),
        over,
        f"{100 * row['on_all']:.1f}",
        str(row["asked"]),
        "yes" if row["chosen"] else "–",
    ]


def _label(row: dict[str, Any]) -> str:
    if row.get("percent") is not None:
        return f"{row['family']} {row['percent']:g}%"
    if row.get("alpha") is not None:
        return f"{row['family']} α = {row['alpha']:g}"
    return " ".join(filter(None, (row["family"], row.get("setting"))))
