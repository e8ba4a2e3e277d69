"""The summary of a run as people read it in a terminal.

Prints the numbers of the summary and computes none.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

LABELS = {
    "base": "base, plain",
    "base_few_shot": "base, few-shot",
    "base_chat": "base, chat",
    "tuned": "tuned",
    "restored": "restored",
}
"""Models in the order of the table, with the words shown for them."""

DOMAIN_WORDS = {"in": "in-domain", "out": "out-of-domain"}


def percent(estimate: dict[str, Any] | None, sign: bool = False) -> str:
    """Write an estimate as percent with its interval.

    >>> percent({"value": 0.5, "low": 0.405, "high": 0.5951, "n": 100})
    '50.0 (40.5–59.5)'
    >>> percent({"value": 0.05, "low": -0.01, "high": 0.11, "n": 100}, sign=True)
    '+5.0 (−1.0 to +11.0)'
    >>> percent(None)
    '–'
    """
    if estimate is None:
        return "–"
    if not sign:
        value, low, high = (f"{100 * estimate[key]:.1f}" for key in ("value", "low", "high"))
        return f"{value} ({low}–{high})"
    value, low, high = (signed(estimate[key]) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def signed(share: float) -> str:
    """Write a difference of shares in points, with its sign.

    >>> signed(-0.014), signed(0.0), signed(0.25)
    ('−1.4', '0.0', '+25.0')
    """
    text = f"{100 * share:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")


def console_table(summary: dict[str, Any]) -> Table:
    """Return the table of models: accuracy in and out of domain, exact, ended.

    Args:
        summary: what `summarise` returns.
    """
    models = {key: summary[key] for key in LABELS if summary.get(key) is not None}
    domains = [
        domain
        for domain in DOMAIN_WORDS
        if any(model[domain]["macro_relation"] is not None for model in models.values())
    ]
    table = Table(title="Answers to the test facts: percent right (95% interval)")
    table.add_column("model")
    for heading in (*(DOMAIN_WORDS[domain] for domain in domains), "exact", "ended"):
        table.add_column(heading, justify="right")
    for key, model in models.items():
        mark = " *" if key == summary.get("best_prompt") else ""
        table.add_row(
            f"{LABELS[key]}{mark}",
            *(percent(model[domain]["macro_relation"]) for domain in domains),
            _plain(model["in"]["exact"]),
            _plain(model["in"]["ended"]),
        )
    majority = summary.get("majority")
    if majority is not None:
        shares = (percent(majority[domain]) for domain in domains)
        table.add_row("most common answer", *shares, "–", "–")
    return table


def console_lines(summary: dict[str, Any]) -> list[str]:
    """Return the sentences under the table: gain, kept / lost / gained, levels."""
    lines = ["macro over relations; exact and ended: share of in-domain answers"]
    best, gain = summary.get("best_prompt"), summary.get("gain_over_best_prompt")
    if best is not None and gain is not None:
        lines.append(
            "* best prompt of the base on dev. Tuned minus that, paired, in points: "
            f"{paired_words(gain)}"
        )
    names = {"base_to_tuned": "base* to tuned", "tuned_to_restored": "tuned to restored"}
    for key, words in names.items():
        found = summary["transitions"][key]
        if found is not None:
            lines.append(f"{words}: {transition_words(found)}")
    if summary.get("levels") is not None:
        sizes = ", ".join(f"level {level}: {n}" for level, n in enumerate(summary["levels"]))
        lines.append(f"probed test facts: {sizes}")
    if summary.get("levels_merged") is not None:
        lines.append(f"levels with fewer than 20 facts merged: {merged_words(summary)}")
    return lines


def transition_words(found: dict[str, Any]) -> str:
    """Write the four counts of a transition.

    >>> transition_words({"kept": 1, "lost": 2, "gained": 3, "never": 4})
    'kept 1, lost 2, gained 3, never 4'
    """
    return ", ".join(f"{state} {found[state]}" for state in ("kept", "lost", "gained", "never"))


def paired_words(gain: dict[str, Any]) -> str:
    """Write a difference for each domain that has one.

    >>> paired_words({"in": {"value": 0.05, "low": -0.01, "high": 0.11, "n": 100}, "out": None})
    'in-domain +5.0 (−1.0 to +11.0)'
    """
    found = (domain for domain in DOMAIN_WORDS if gain[domain] is not None)
    return ", ".join(f"{DOMAIN_WORDS[each]} {percent(gain[each], sign=True)}" for each in found)


def merged_words(summary: dict[str, Any]) -> str:
    """Write the groups of merged levels.

    >>> merged_words({"levels_merged": [[0], [1, 2], [3, 4]]})
    '0 | 1+2 | 3+4'
    """
    return " | ".join("+".join(map(str, group)) for group in summary["levels_merged"])


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print the table and its sentences."""
    lines = [Text(line) for line in console_lines(summary)]
    console.print(Group(console_table(summary), *lines))


def _plain(estimate: dict[str, Any] | None) -> str:
    return "–" if estimate is None else f"{100 * estimate['value']:.1f}"
