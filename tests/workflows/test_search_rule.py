from __future__ import annotations

import polars as pl
import pytest

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.statistics import Estimate
from sixtyfold.stages.restore.candidates import Candidate
from sixtyfold.stages.restore.plans import InterpolatedPlan
from sixtyfold.workflows.search_candidates import Listed, reachable
from sixtyfold.workflows.search_facts import balanced
from sixtyfold.workflows.search_rounds import best_of_each, rounds
from sixtyfold.workflows.search_rule import Rule, Score, points_lost, score


def scored(accuracy: float, level_4: float | None = None, remaining: float = 0.5) -> Score:
    known = None if level_4 is None else Estimate(level_4, 0, 1, 10)
    return Score(Estimate(accuracy, 0, 1, 40), known, remaining)


def listed(*families: str) -> list[Listed]:
    candidate = Candidate("interpolation", None, 1.0, 1.0, InterpolatedPlan("all", 1.0))
    return [Listed(family, candidate) for family in families]


def test_accuracy_then_nearest_to_tuned_then_first() -> None:
    scores = {0: scored(0.5), 1: scored(0.6, remaining=0.7), 2: scored(0.6, remaining=0.9),
              3: scored(0.6, remaining=0.9)}  # fmt: skip
    assert Rule("accuracy", None).order(scores) == [2, 3, 1, 0]


def test_knowledge_looks_at_level_4_alone() -> None:
    scores = {0: scored(0.9, 0.5), 1: scored(0.1, 0.8)}
    assert Rule("knowledge", None).order(scores) == [1, 0]
    assert Rule("accuracy", None).order(scores) == [0, 1]


@pytest.mark.parametrize(("points", "first"), [(0, 2), (4.9, 2), (5, 1), (30, 0), (None, 0)])
def test_what_loses_too_much_of_level_4_comes_last(points: float | None, first: int) -> None:
    scores = {0: scored(0.9, 0.6), 1: scored(0.7, 0.85), 2: scored(0.5, 0.9)}
    assert Rule("accuracy", points).order(scores)[0] == first


def test_of_those_that_lose_too_much_the_least_comes_first() -> None:
    scores = {0: scored(0.9, 0.1), 1: scored(0.2, 0.5), 2: scored(0.5, 0.9)}
    assert Rule("accuracy", 1).order(scores) == [2, 1, 0]


def test_points_lost_are_counted_from_the_highest() -> None:
    lost = points_lost({0: scored(0.5, 0.4), 1: scored(0.5, 0.75), 2: scored(0.5)})
    assert lost == {0: pytest.approx(35), 1: 0, 2: None}


def test_a_score_counts_in_domain_answers_by_hand() -> None:
    rows = {
        "fact_id": list("abcdef"),
        "relation": ["r", "r", "r", "s", "s", "t"],
        "domain": ["in"] * 5 + ["out"],
        "level": [4, 4, 0, 4, None, 4],
        "hit": [True, False, True, True, True, True],
        "exact": [False] * 6,
        "ended": [True] * 6,
    }
    answers = pl.DataFrame(rows, schema_overrides={"level": pl.Int8})
    found = score(answers, 0.5)
    assert found.accuracy.value == pytest.approx((2 / 3 + 1) / 2)
    assert found.level_4 is not None
    assert (found.level_4.value, found.level_4.n) == (pytest.approx(2 / 3), 3)
    with pytest.raises(ValueError, match="there are none"):
        score(pl.DataFrame(schema=ANSWERS_SCHEMA), 0.5)


def test_every_family_keeps_as_many() -> None:
    families = listed("tuned", "a", "a", "a", "b", "b", "b")
    assert best_of_each([5, 1, 6, 4, 3, 2, 0], families, 2) == [5, 1, 6, 3, 0]
    assert best_of_each([5, 1, 6, 4, 3, 2, 0], families, 1) == [5, 1, 0]


@pytest.mark.parametrize("facts", [1, 2, 7, 120])
@pytest.mark.parametrize("halvings", [0, 1, 2, 5])
def test_the_last_round_has_asked_all_facts(facts: int, halvings: int) -> None:
    found = rounds(facts, 7, halvings)
    assert found.facts[-1] == facts
    assert found.per_family[0] == 7
    assert found.facts == sorted(found.facts)
    assert min(found.facts) >= 1
    assert min(found.per_family) >= 1
    assert len(found.facts) == len(found.per_family) == halvings + 1


def test_norms_that_cannot_be_left_are_replaced_by_as_many() -> None:
    shares = [0.98, 0.9, 0.5, 0.3]
    found = reachable(shares, 0.45)
    assert len(found) == len(shares)
    assert set(found) > {0.98, 0.9, 0.5}
    assert min(found) == 0.45
    assert reachable(shares, 0.0) == shares


def test_every_first_part_of_the_facts_has_the_mix_of_all() -> None:
    rows = [(f"{relation}{i}", relation, i % 2 * 4) for relation, n in (("r", 80), ("s", 20))
            for i in range(n)]  # fmt: skip
    facts = pl.DataFrame(rows, schema=["fact_id", "relation", "level"], orient="row")
    order = balanced(facts, 0)
    assert sorted(order["fact_id"]) == sorted(facts["fact_id"])
    for part in (20, 25, 50):
        first = order.head(part)
        assert abs((first["relation"] == "s").sum() - part / 5) <= 1
        assert abs((first["level"] == 4).sum() - part / 2) <= 1
    assert not balanced(facts, 1).equals(order)
    assert balanced(facts.reverse(), 0).equals(order)
