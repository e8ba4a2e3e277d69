"""What to do next after a run: its comparisons with their rules, and conditions on its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.levels import LEVELS
from sixtyfold.core.paired_tests import Difference, micro_difference
from sixtyfold.reporting.advice import EXPLAINED, Effect, Rule, advise
from sixtyfold.reporting.page import Section
from sixtyfold.reporting.results import Results
from sixtyfold.stages.compare.comparison import macro_difference
from sixtyfold.stages.compare.transitions import state_counts, transitions
from sixtyfold.workflows.console import LABELS, merged_words, percent

RULES = {
    ("best", "tuned", "in"): Rule(
        "tuned over best-prompted base, in-domain",
        "Use the tuned model for questions of the trained relations.",
        "Do not use the tuned model for the trained relations: ask the base with its best prompt. "
        "Before tuning again, look at the examples ('sixtyfold check') and try fewer of them or a "
        "smaller rate ('sixtyfold tune --ladder', '--learning-rate').",
    ),
    ("best", "tuned", "out"): Rule(
        "tuned over best-prompted base, out-of-domain",
        "The tuned model can also be asked about relations it was not trained on.",
        "Do not ask the tuned model about relations it was not trained on; keep the base for them, "
        "or put weights back ('sixtyfold search').",
    ),
    ("best", "tuned", "known"): Rule(
        "tuned over best-prompted base, facts of the highest level",
        "Ask the tuned model for facts that the base knows best: it says more of them.",
        "Tuning lost facts that the base knows best. Choose training facts of high level "
        "('sixtyfold select --levels') or put weights back ('sixtyfold search').",
    ),
    ("tuned", "restored", "in"): Rule(
        "restored over tuned, in-domain",
        "Use the restored checkpoint for the trained relations.",
        "Keep the tuned checkpoint for the trained relations: the repair costs answers there.",
    ),
    ("tuned", "restored", "out"): Rule(
        "restored over tuned, out-of-domain",
        "Use the restored checkpoint for relations that were not trained.",
        "Do not use the restored checkpoint for relations that were not trained.",
    ),
    ("plain", "best", "in"): Rule(
        "best prompt over plain question, base, in-domain",
        "Without tuning, ask the base with its best prompt, not with the plain question.",
        "Ask the base with the plain question: the prompt that was best on dev is worse on test.",
    ),
}
"""First and second model, and where they are compared, to what follows."""

ENDED = 0.9
"""A smaller share of answers that the model ends itself is worth a word."""


class Condition(NamedTuple):
    """A sentence about one run's numbers, and when it is said."""

    holds: Callable[[dict[str, Any]], bool]
    says: Callable[[dict[str, Any]], str]


def _ended(summary: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = summary["tuned"] and summary["tuned"]["in"]["ended"]
    return found


def _behind_most_common(summary: dict[str, Any]) -> bool:
    tuned = summary["tuned"] and summary["tuned"]["in"]["macro_relation"]
    common = (summary["majority"] or {}).get("in")
    return bool(tuned and common and tuned["high"] < common["low"])


CONDITIONS = {
    "few facts of a level": Condition(
        lambda summary: summary["levels_merged"] is not None,
        lambda summary: (
            "Test more facts ('sixtyfold run --test') before reading accuracy by "
            f"level: levels with fewer than 20 facts had to be merged ({merged_words(summary)})."
        ),
    ),
    "answers do not end": Condition(
        lambda summary: bool((ended := _ended(summary)) and ended["high"] < ENDED),
        lambda summary: (
            "Tune longer, or look at how examples end: the tuned model ends only "
            f"{percent(_ended(summary))}% of its answers by itself."
        ),
    ),
    "behind the most common answer": Condition(
        _behind_most_common,
        lambda summary: (
            "Do not use the tuned model: always giving a relation's most common answer "
            f"is right more often ({percent(summary['majority']['in'])}% against "
            f"{percent(summary['tuned']['in']['macro_relation'])}%)."
        ),
    ),
}


def what_next(results: Results) -> Section:
    """What to do next, as far as this run's numbers carry it."""
    title = "What to do next"
    found = list(effects(results))
    more = [
        each.says(results.summary) for each in CONDITIONS.values() if each.holds(results.summary)
    ]
    if not found and not more:
        missing = "Not in this run: finished test answers of two models ('sixtyfold evaluate')."
        return Section("next", title, missing=missing)
    return Section("next", title, [EXPLAINED], points=advise(found, more))


def effects(results: Results) -> Iterator[Effect]:
    """Yield every comparison of `RULES` that this run allows.

    In-domain and out-of-domain: mean over relations. Highest level: share of its facts.
    """
    answers = dict(results.answers)
    best = results.summary["best_prompt"]
    if results.plain is not None and best not in (None, "base"):
        answers["plain"] = results.plain
    for (before, after, where), rule in RULES.items():
        if before in answers and after in answers:
            found = _difference(transitions(answers[before], answers[after]), where)
            if found is not None:
                about = rule.about.replace("best-prompted base", f"base ({_prompt(best)})")
                yield Effect(rule._replace(about=about), found.value, found.low, found.high,
                             found.p, found.detectable)  # fmt: skip


def _difference(rows: pl.DataFrame, where: str) -> Difference | None:
    if where != "known":
        return macro_difference(rows.filter(pl.col("domain") == where))
    known = state_counts(rows.filter(pl.col("level") == LEVELS[-1]))
    return micro_difference(known["gained"], known["lost"], sum(known.values()))


def _prompt(key: str | None) -> str:
    return LABELS[key].removeprefix("base, ") if key else "as asked"
