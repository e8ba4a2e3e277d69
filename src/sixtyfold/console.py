"""What a person sees when a command ends; with `--json`, what a script gets.

Every function takes the command's result and spec and returns the value for `--json`; it prints
nothing when `silent`. Statistics are imported where they are shown: they take longer to load than
most commands to run.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.spec import Spec
from sixtyfold.core.stage import Finished
from sixtyfold.printing import cell_text, print_frame, print_table, say, say_result, terminal


def show_stage(result: Finished, _: Spec, *, silent: bool) -> dict[str, Any]:
    """Show how many rows a stage wrote and where."""
    value = {"path": str(result.path), **result.manifest}
    if not silent:
        rows = ", ".join(f"{count} {name}" for name, count in result.manifest["rows"].items())
        say(f"{result.manifest['stage']}: {rows}")
        _notes(result)
        say_result(result.path)
    return value


def show_probe(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    """Show how many facts there are of each level, and what that rests on."""
    if result.manifest["stage"] == "parity":
        return _show_parity(result, spec, silent=silent)
    if not silent:
        facts = result.table("probe")
        expected = [sum(each) for each in zip(*facts["level_probs"].to_list(), strict=True)]
        table = []
        for level, probable in enumerate(expected):
            rows = facts.filter(facts["level"] == level)
            shown = ["–", "–"]
            if rows.height:
                names = ("recall", "recall_low", "recall_high")
                value, low, high = (float(rows[name].to_numpy().mean()) for name in names)
                shown = [f"{value:.3f}", f"{low:.3f}–{high:.3f}"]
            table.append((str(level), str(rows.height), f"{probable:.1f}", *shown))
        headings = ("level", "facts", "expected", "mean recall", "mean 95% interval")
        print_table(headings, table)
        say(result.manifest["protocol"])
    return show_stage(result, spec, silent=silent)


def _show_parity(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    if not silent:
        found, (one, two) = result.manifest["levels"], result.manifest["engines"]
        say(
            f"{one} and {two}: {found['differ']} of {result.manifest['rows']['parity']} levels "
            f"differ; by chance {found['expected']:.1f} ({found['low']:.0f}–{found['high']:.0f}), "
            f"p = {found['p_value']:.3f}"
        )
        say(
            f"mean recall differs by {result.manifest['mean_recall_difference']:+.4f} "
            f"(by chance ±{result.manifest['mean_recall_difference_by_chance']:.4f})"
        )
    return show_stage(result, spec, silent=silent)


def _notes(result: Finished) -> None:
    """Say what reading facts guessed or changed."""
    for note in result.manifest.get("notes", ()):
        say(f"- {note}")


_MEASURES = {
    "macro_relation": "mean over relations",
    "macro_level": "mean over levels",
    "micro": "all facts alike",
}


def show_answers(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    """Show the accuracy of an answers table."""
    from sixtyfold.core.accuracy import accuracy

    if result.manifest["stage"] == "evaluate-ways":
        return _show_ways(result, spec, silent=silent)
    answers = result.table("answers")
    found = {
        domain: accuracy(answers, domain).rounded()
        for domain in DOMAINS
        if (answers["domain"] == domain).any()
    }
    if not silent:
        table = []
        for domain, measures in found.items():
            beside = {"most common answer": result.manifest.get("majority", {}).get(domain)}
            for name, estimate in {**measures, **beside}.items():
                if estimate is not None:
                    shares = (f"{100 * estimate[key]:.1f}" for key in ("value", "low", "high"))
                    value, low, high = shares
                    words = _MEASURES.get(name, name)
                    table.append((domain, words, value, f"{low}–{high}", str(estimate["n"])))
        print_table(("domain", "measure", "percent", "95% interval", "n"), table)
        _notes(result)
        say_result(result.path)
    return {**show_stage(result, spec, silent=True), "accuracy": found}


def _show_ways(result: Finished, spec: Spec, *, silent: bool) -> dict[str, Any]:
    ways, chosen = result.table("ways"), result.json("chosen")
    if not silent:
        table = []
        for row in ways.iter_rows(named=True):
            value, low, high = (f"{100 * row[key]:.1f}" for key in ("value", "low", "high"))
            named = (row["way"], row["split"], row["domain"])
            table.append((*named, value, f"{low}–{high}", str(row["n"])))
        print_table(("way", "split", "domain", "macro, percent", "95% interval", "n"), table)
        best = chosen["best_on_dev"]
        if best is not None:
            place = result.path / "answers" / f"{best}-test"
            say(f"best on dev: {best}; what to compare a tuned model with: {place}")
        say_result(result.path / "answers")
    return {**show_stage(result, spec, silent=True), "ways": ways.to_dicts(), "chosen": chosen}


def show_run(result: dict[str, Any], spec: Any, *, silent: bool) -> dict[str, Any]:
    """Show the table of a whole run and where its report is."""
    if not silent:
        from sixtyfold.workflows.console import print_summary

        print_summary(result, terminal())
        say_result(spec.out / "report.html")
    return result


def show_path(result: Path, _: Spec, *, silent: bool) -> dict[str, Any]:
    """Show where a file is."""
    if not silent:
        say_result(result)
    return {"path": str(result)}


def show_table(result: Any, _: Spec, *, silent: bool) -> list[dict[str, Any]]:
    """Show a data frame; what is wider than the terminal goes on in a table below."""
    rows: list[dict[str, Any]] = result.to_dicts()
    if not silent:
        print_frame(result)
    return rows


def show_inspection(result: Any, _: Spec, *, silent: bool) -> dict[str, Any]:
    """Show what a fact set holds, one relation a row, and what was guessed on the way."""
    table = result.table
    if not silent:
        short = {
            "several_answers": "several",
            "in_several_splits": "repeated",
            "in_subject_share": "copied",
            "shared_questions": "shared",
        }
        shares = [pl.format("{}%", (100 * pl.col(name)).round(1)).alias(name) for name in _SHARES]
        print_frame(table.with_columns(shares).rename(short))
        say(
            "several: subjects with several answers; repeated: in more than one split before "
            "merging; copied: an answer stands in the subject; shared: questions in two splits"
        )
        for note in result.notes:
            say(f"- {note}")
    return {"relations": table.to_dicts(), "notes": list(result.notes)}


_SHARES = ("top_share", "in_subject_share")


def show_selection(result: Finished, spec: Any, *, silent: bool) -> dict[str, Any]:
    """Show the receipt of a training set, or the list of a ladder's sets."""
    if spec.is_ladder:
        ladder = result.table("ladder")
        if not silent:
            print_frame(ladder.select("replica", "size", "seed", "short", "path"))
            say_result(result.path)
        return {**show_stage(result, spec, silent=True), "sets": ladder.to_dicts()}
    receipt = result.json("receipt")
    if not silent:
        from sixtyfold.stages.select.receipt_words import in_words

        crossed = pl.DataFrame(receipt["per_level_and_relation"]).pivot(
            "level", index="relation", values="len", sort_columns=True
        )
        levels = [name for name in crossed.columns if name != "relation"]
        unknown = {"null": "examples"}  # chosen without a probe
        headings = {level: unknown.get(level, f"level {level}") for level in levels}
        named = crossed.fill_null(0).rename(headings)
        print_frame(named.sort("relation"))
        for line in in_words(receipt):
            say(line)
        say_result(result.path)
    return {**show_stage(result, spec, silent=True), "receipt": receipt}


def show_templates(result: Finished, _: Spec, *, silent: bool) -> list[dict[str, Any]]:
    """Show every template with its recall, the best of each relation first."""
    table = result.table("template_recall")
    order = table.sort(["relation", "recall"], descending=[False, True])
    columns = ["relation", "recall", "share_of_best", "verdict", "text"]
    if not silent:
        print_frame(order.select(columns))
        counts = table["verdict"].value_counts().sort("verdict")
        say(", ".join(f"{count} {verdict}" for verdict, count in counts.iter_rows()))
        say_result(result.path)
    return table.to_dicts()


def show_plan(result: dict[str, Any], _: Spec, *, silent: bool) -> dict[str, Any]:
    """Show what a command would do."""
    if not silent:
        table = []
        for name, value in result.items():
            several = value if isinstance(value, dict) else {"": value}
            for part, each in several.items():
                table.append((f"{name} {part}".strip().replace("_", " "), cell_text(each)))
        print_table(("would be done", ""), table)
        say("nothing was done; leave --plan out to do it")
    return result
