"""The report's story, section by section: known, trained, happened.

Turns results into sections (`page.py`); computes accuracies with `core/accuracy.py` and nothing
else. What moved in the weights and what the repair did is told in `weight_sections.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from sixtyfold.core.accuracy import by_group
from sixtyfold.core.levels import LEVELS
from sixtyfold.reporting.charts import accuracy_chart, levels_chart, relation_levels_chart
from sixtyfold.reporting.page import Figure, Section, Table
from sixtyfold.reporting.results import Results
from sixtyfold.reporting.untrusted import visible
from sixtyfold.stages.select.receipt_words import in_words
from sixtyfold.workflows.console import DOMAIN_WORDS, LABELS, merged_words, percent

SHOWN = {"best": "base", "tuned": "tuned", "restored": "restored"}
"""Name in `Results.answers` to name in charts."""

MOST_RELATIONS = 40
"""Relations a chart shows; a table beside it holds them all."""

LEVELS_EXPLAINED = (
    "Level 0: no hit expected in the draws of the protocol; levels 1 to 4: recall up to 25, 50, 75 "
    "and 100%. Levels are relative to one base model and to the number of templates. The tick is "
    "the sum of level probabilities, which counts what single levels round away."
)
ACCURACY_EXPLAINED = (
    "Share of right answers with 95% intervals; differences are means over relations, for these "
    "relations. Everything was chosen on dev; test was answered once."
)


def tiles(results: Results) -> list[tuple[str, str, str]]:
    """Return the headline numbers: heading, number, interval."""
    summary = results.summary
    shown = []
    best = summary["best_prompt"]
    headings = {best: f"Base, best prompt ({_prompt(best)})", "tuned": "Tuned",
                "restored": "Restored"}  # fmt: skip
    for key, heading in headings.items():
        model = summary.get(key) if key else None
        found = model and model["in"]["macro_relation"]
        if found:
            shown.append((heading, f"{100 * found['value']:.1f}%", f"in-domain {percent(found)}"))
    gain = summary["gain_over_best_prompt"]
    if gain and gain["in"]:
        number, interval = percent(gain["in"], sign=True).split(" ", 1)
        shown.append(("Gain of tuning, paired", number, f"points {interval}"))
    return shown


def known(results: Results) -> Section:
    """What the base model knew: levels of the test facts."""
    title = "What the model knew"
    if results.probed is None:
        return Section("known", title, missing=_not_here("probe"))
    summary = results.summary
    rows = [
        {"level": str(level), "facts": facts, "mass": mass}
        for level, facts, mass in zip(LEVELS, summary["levels"], summary["level_mass"], strict=True)
    ]
    text = [LEVELS_EXPLAINED]
    if summary["levels_merged"] is not None:
        text.append(
            f"Some levels hold fewer than 20 test facts, too few for a share; merged for accuracy "
            f"by level: {merged_words(summary)}."
        )
    table = Table(
        "Test facts per level",
        ["level", "facts", "sum of probabilities"],
        [[row["level"], str(row["facts"]), f"{row['mass']:.1f}"] for row in rows],
    )
    figures = [Figure("levels", "Test facts per level.", levels_chart(rows), table)]
    return Section("known", title, text, figures=[*figures, _relation_levels(results.probed)])


def trained(results: Results) -> Section:
    """What was trained on: the receipt of the training set."""
    title = "What was trained on"
    if results.receipt is None:
        return Section("trained", title, missing=_not_here("select"))
    return Section("trained", title, tables=_receipt_tables(results.receipt))


def happened(results: Results) -> Section:
    """Accuracy of every model, by level and by relation."""
    summary = results.summary
    text = [ACCURACY_EXPLAINED]
    gain = summary["gain_over_best_prompt"]
    if gain is not None:
        text += [
            gain_words(gain[domain], words)
            for domain, words in DOMAIN_WORDS.items()
            if gain[domain] is not None
        ]
    figures = []
    for domain, words in DOMAIN_WORDS.items():
        by_level = _group_rows(results, "level", domain, _level_groups(summary))
        if by_level:
            title = f"Right answers on test by level, {words}"
            figures.append(_accuracy_figure(f"by-level-{domain}", by_level, "level", title))
    if figures:
        text.append("Accuracy by level cannot be compared between different base models.")
    by_relation = [row for domain in DOMAIN_WORDS
                   for row in _group_rows(results, "relation", domain)]  # fmt: skip
    figures.append(_by_relation(by_relation))
    return Section("happened", "What happened", text, [main_table(summary)], figures)


def gain_words(gain: dict[str, Any], where: str) -> str:
    """Say what a paired gain shows, and nothing where its interval includes 0.

    >>> gain_words({"value": 0.1, "low": 0.04, "high": 0.16, "n": 9}, "in-domain")
    'Tuning gained over the best-prompted base in-domain: +10.0 (+4.0 to +16.0) points.'
    >>> gain_words({"value": 0.1, "low": -0.04, "high": 0.24, "n": 9}, "in-domain")[:37]
    'No difference could be shown in-domai'
    """
    numbers = percent(gain, sign=True)
    if gain["low"] > 0:
        return f"Tuning gained over the best-prompted base {where}: {numbers} points."
    if gain["high"] < 0:
        return f"Tuning lost against the best-prompted base {where}: {numbers} points."
    return f"No difference could be shown {where}: {numbers} points, the interval includes 0."


def main_table(summary: dict[str, Any]) -> Table:
    """Return the table that the terminal prints, with all five accuracies."""
    measures = ("macro_relation", "macro_level", "micro", "exact", "ended")
    rows = []
    for key, label in LABELS.items():
        model = summary[key]
        for domain, words in DOMAIN_WORDS.items():
            if model is None or model[domain]["micro"] is None:
                continue
            mark = " *" if key == summary["best_prompt"] else ""
            cells = [percent(model[domain][name]) for name in measures]
            rows.append([f"{label}{mark}", words, *cells, str(model[domain]["micro"]["n"])])
    majority = summary["majority"] or {}
    for domain, words in DOMAIN_WORDS.items():
        found = majority.get(domain)
        if found is not None:
            empty = ["–"] * (len(measures) - 1)
            rows.append(["most common answer", words, percent(found), *empty, str(found["n"])])
    columns = ["model", "facts", "macro over relations", "macro over levels", "micro", "exact",
               "ended", "n"]  # fmt: skip
    caption = (
        "Percent of test facts (95% interval); * best prompt on dev; – not defined, as the mean "
        "over levels where one has fewer than 20 facts"
    )
    return Table(caption, columns, rows)


def _prompt(key: str | None) -> str:
    return LABELS[key].removeprefix("base, ") if key else "not measured"


def _not_here(stage: str) -> str:
    return f"Not in this run: no finished result of 'sixtyfold {stage}'."


def _relation_levels(probed: pl.DataFrame) -> Figure:
    counted = probed.group_by("relation", "level").agg(facts=pl.len()).sort("relation", "level")
    rows = [{**row, "level": str(row["level"]), "relation": visible(row["relation"])}
            for row in counted.to_dicts()]  # fmt: skip
    table = Table(
        "Test facts per relation and level",
        ["relation", "level", "facts"],
        [[row["relation"], row["level"], str(row["facts"])] for row in rows],
    )
    sizes = probed.group_by("relation").len().sort("len", "relation", descending=[True, False])
    largest = {visible(name) for name in sizes["relation"].head(MOST_RELATIONS)}
    chart = relation_levels_chart([row for row in rows if row["relation"] in largest])
    caption = "Levels within each relation."
    if sizes.height > MOST_RELATIONS:
        caption = f"Levels within the {MOST_RELATIONS} of {sizes.height} largest relations."
    return Figure("relation-levels", caption, chart, table)


_TOLD_IN_WORDS = ("answers", "answer_words", "dropped", "leaks", "short", "relabelled")


def _receipt_tables(receipt: dict[str, Any]) -> list[Table]:
    """The receipt as one table, and its counts by level and relation as another."""
    crossed = receipt.get("per_level_and_relation") or []
    rows = [
        [visible(key.replace("_", " ")), _cell(value)]
        for key, value in receipt.items()
        if key not in {"per_level_and_relation", *_TOLD_IN_WORDS}
    ]
    if "answers" in receipt:
        rows += [["answers", visible(line)] for line in in_words(receipt)]
    tables = [Table("Receipt of the training set", ["setting or count", "value"], rows, words=True)]
    if crossed:
        columns = ("relation", "level", "len")
        cells = [[_cell(row.get(column)) for column in columns] for row in crossed]
        headings = ["relation", "level", "examples"]
        tables.append(Table("Training examples by level and relation", headings, cells))
    return tables


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return visible(", ".join(f"{key}: {part}" for key, part in value.items()))
    if isinstance(value, list):
        return visible(", ".join(str(item) for item in value))
    return visible("–" if value is None else str(value))


def _level_groups(summary: dict[str, Any]) -> dict[int, str]:
    groups = summary["levels_merged"] or [[level] for level in LEVELS]
    return {level: "+".join(map(str, group)) for group in groups for level in group}


def _group_rows(
    results: Results, column: str, domain: str, groups: dict[int, str] | None = None
) -> list[dict[str, Any]]:
    """One row per group and model of one domain: group, model, value, low, high, n."""
    rows = []
    for name, shown in SHOWN.items():
        table = results.answers.get(name)
        if table is None:
            continue
        table = table.filter(pl.col("domain") == domain)
        if column == "relation" and domain == "out":
            table = table.with_columns(pl.col("relation") + " (out)")
        elif groups is not None:
            table = table.with_columns(
                pl.col(column).replace_strict(groups, default=None, return_dtype=pl.String)
            )
        for row in by_group(table, column).to_dicts():
            kept = {key: row[key] for key in ("value", "low", "high", "n")}
            rows.append({"group": visible(str(row[column])), "model": shown, **kept})
    return rows


def _by_relation(rows: list[dict[str, Any]]) -> Figure:
    """The relations with most facts as a chart, all of them in the table behind it."""
    title = "Right answers on test by relation"
    facts = {row["group"]: row["n"] for row in rows}
    largest = set(sorted(facts, key=lambda name: (-facts[name], name))[:MOST_RELATIONS])
    figure = _accuracy_figure("by-relation", rows, "relation", title)
    if len(largest) == len(facts):
        return figure
    shown = [row for row in rows if row["group"] in largest]
    caption = f"{title}; the {MOST_RELATIONS} of {len(facts)} relations with most test facts."
    return figure._replace(chart=_counted_chart(shown, "relation", title), caption=caption)


def _accuracy_figure(name: str, rows: Sequence[dict[str, Any]], group: str, title: str) -> Figure:
    table = Table(
        title,
        [group, "model", "percent (95% interval)", "n"],
        [[row["group"], row["model"], percent(row), str(row["n"])] for row in rows],
    )
    caption = f"{title}; dots with 95% intervals, in brackets the number of facts."
    return Figure(name, caption, _counted_chart(rows, group, title), table)


def _counted_chart(rows: Sequence[dict[str, Any]], group: str, title: str) -> dict[str, Any]:
    """Return the chart of accuracies with the number of facts behind every group."""
    facts = {row["group"]: row["n"] for row in rows}
    counted = [{**row, "group": f"{row['group']} ({facts[row['group']]:,})"} for row in rows]
    return accuracy_chart(counted, f"{group} (facts)", title)
