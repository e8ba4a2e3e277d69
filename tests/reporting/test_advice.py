"""What to do next: every rule speaks in both directions, and is silent where 0 is inside."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.reporting.advice import DO, NOT_SHOWN, NOTHING, Effect, Rule, advise
from sixtyfold.reporting.page import Section
from sixtyfold.reporting.results import Results
from sixtyfold.reporting.run_advice import CONDITIONS, RULES, what_next

RULE = Rule("b over a", "Use b.", "Use a.")
FACTS = 200


def answers(right: range | None = None) -> pl.DataFrame:
    """Answers to facts of two relations a domain, all of the highest level; `right` are hits."""
    rows = [
        {"fact_id": f"{domain}{number:03d}", "relation": f"{domain}{number % 2}", "domain": domain,
         "split": "test", "level": 4, "prompt": "", "answer": "", "hit": number in (right or ()),
         "exact": False, "f1": 0.0, "ended": True}
        for domain in ("in", "out")
        for number in range(FACTS)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=ANSWERS_SCHEMA)


def summary(**known: Any) -> dict[str, Any]:
    base = {"best_prompt": "base_few_shot", "levels_merged": None, "tuned": None, "majority": None}
    return {**base, **known}


def section(key: tuple[str, str, str], before: range, after: range) -> Section:
    """What is said of a run that holds one comparison's two models."""
    results = Results(**dict.fromkeys(Results._fields))
    results = results._replace(summary=summary(), answers={})
    for name, right in zip(key[:2], (before, after), strict=True):
        if name == "plain":
            results = results._replace(plain=answers(right))
        else:
            results.answers[name] = answers(right)
    return what_next(results)


def sentences(part: Section, heading: str) -> list[str]:
    return [point.sentence for name, points in part.points if name == heading for point in points]


@pytest.mark.parametrize("key", RULES, ids=" ".join)
def test_every_rule_speaks_both_ways_and_is_silent_between(key: tuple[str, str, str]) -> None:
    some, many = range(60, 120), range(50, 180)
    rule = RULES[key]
    assert rule.above in sentences(section(key, some, many), DO)
    assert rule.below not in sentences(section(key, some, many), DO)
    assert rule.below in sentences(section(key, many, some), DO)
    assert rule.above not in sentences(section(key, many, some), DO)
    silent = section(key, range(60, 120), range(61, 122))
    assert sentences(silent, DO) == [NOTHING]
    (point,) = next(points for name, points in silent.points if name == NOT_SHOWN)
    assert any(rule.about.split(",")[-1] in line for line in point.evidence)


@pytest.mark.parametrize(
    ("name", "holds", "not_so"),
    [
        ("few facts of a level", {"levels_merged": [[0], [1, 2, 3, 4]]}, {}),
        (
            "answers do not end",
            {"tuned": {"in": {"ended": {"value": 0.7, "low": 0.6, "high": 0.8},
                              "macro_relation": None}}},
            {"tuned": {"in": {"ended": {"value": 0.85, "low": 0.8, "high": 0.91},
                              "macro_relation": None}}},
        ),
        (
            "behind the most common answer",
            {"tuned": {"in": {"ended": None, "macro_relation":
                              {"value": 0.1, "low": 0.05, "high": 0.2}}},
             "majority": {"in": {"value": 0.4, "low": 0.3, "high": 0.5}}},
            {"tuned": {"in": {"ended": None, "macro_relation":
                              {"value": 0.3, "low": 0.2, "high": 0.4}}},
             "majority": {"in": {"value": 0.4, "low": 0.3, "high": 0.5}}},
        ),
    ],
)  # fmt: skip
def test_every_condition_holds_and_does_not(
    name: str, holds: dict[str, Any], not_so: dict[str, Any]
) -> None:
    condition = CONDITIONS[name]
    assert condition.holds(summary(**holds))
    assert condition.says(summary(**holds))
    assert not condition.holds(summary(**not_so))


def test_no_condition_is_untested() -> None:
    (marks,) = (
        mark.args[1]
        for mark in test_every_condition_holds_and_does_not.pytestmark  # type: ignore[attr-defined]
    )
    assert {each[0] for each in marks} == set(CONDITIONS)


def test_an_interval_that_holds_0_is_no_advice_whatever_p() -> None:
    ((heading, (point,)), (other, _)) = advise([Effect(RULE, 0.1, -0.001, 0.2, 1e-9)])
    assert (heading, point.sentence) == (DO, NOTHING)
    assert other == NOT_SHOWN


def test_p_is_adjusted_over_all_that_was_compared() -> None:
    clear = Effect(RULE, 0.1, 0.01, 0.2, 0.03)
    assert advise([clear])[0][1][0].sentence == "Use b."
    nothing = Effect(RULE._replace(about="c over a"), 0.0, -0.1, 0.1, 0.9)
    (_, (point,)), (_, (not_shown,)) = advise([clear, nothing])
    assert point.sentence == NOTHING
    assert not_shown.evidence[0] == "b over a: +10.0 (+1.0 to +20.0), p 0.06"


def test_equal_sentences_stand_once() -> None:
    effects = [Effect(RULE._replace(about=f"b over a, {n}"), 0.1, 0.05, 0.2, 1e-6) for n in "xyz"]
    ((_, (point,)),) = advise(effects)
    assert point.sentence == "Use b."
    assert [line.split(":")[0] for line in point.evidence] == [f"b over a, {n}" for n in "xyz"]


def test_too_few_facts_are_said() -> None:
    (_, (point,)) = advise([Effect(RULE, 0.1, -0.5, 0.6, 0.8, detectable=1.2)])[1]
    assert point.evidence == [
        "b over a: +10.0 (−50.0 to +60.0), p 0.8; too few facts to show any difference"
    ]


def test_one_model_alone_compares_nothing() -> None:
    results = Results(**dict.fromkeys(Results._fields))
    part = what_next(results._replace(summary=summary(), answers={"tuned": answers()}))
    assert part.missing == (
        "Not in this run: finished test answers of two models ('sixtyfold evaluate')."
    )
