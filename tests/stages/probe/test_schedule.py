"""Allocation: unbiased though it looks at pilots, within its budget, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sixtyfold.stages.probe.aggregate import recall_of
from sixtyfold.stages.probe.sampling import Estimate
from sixtyfold.stages.probe.schedule import FEW, MOST, Pilot, further_draws, openness

K = 21
RECALLS = (0.0, 0.001, 0.01, 0.05, 0.24, 0.26, 0.5, 0.74, 0.9, 1.0)


class Facts:
    """Facts whose templates have known hit probabilities; a draw's value is certain + a part."""

    def __init__(self, recall: float, kind: str, count: int, random: np.random.Generator) -> None:
        self.random = random
        self.kind = kind
        spread = {"alike": 50.0, "unlike": 1.0}.get(kind.partition("-")[0], 3.0)
        if recall in {0.0, 1.0}:
            self.rates = np.full((count, K), recall)
        else:
            self.rates = random.beta(recall * spread, (1 - recall) * spread, (count, K))
        # What is computed beforehand is a part of the rate: none of it, or most of it.
        share = 0.0 if kind.endswith("drawn") else 0.8
        self.certain = np.minimum(share * self.rates, 0.9)
        self.truths = self.rates.mean(1)

    def draw(self, fact: int, template: int, count: int) -> list[float]:
        """Values of draws with the right mean: all or nothing above what is certain."""
        certain, rate = self.certain[fact, template], self.rates[fact, template]
        rest = (rate - certain) / (1 - certain)
        hits = self.random.random(count) < rest
        return [float(certain + (1 - certain) * hit) for hit in hits]


def through_the_schedule(facts: Facts, draws: float, seed: int) -> list[list[list[float]]]:
    """Pilot, allocation, further draws: the values of every prompt of every fact."""
    count = len(facts.truths)
    values = [[facts.draw(fact, t, 1) for t in range(K)] for fact in range(count)]
    pilots = [
        Pilot(f"{fact:04}", facts.certain[fact], np.array([v[0] for v in values[fact]]))
        for fact in range(count)
    ]
    further = further_draws(pilots, round((draws - 1) * count * K), seed)
    for fact in range(count):
        for t in range(K):
            values[fact][t] += facts.draw(fact, t, int(further[fact][t]))
    return values


@pytest.mark.parametrize(
    "kind", ["alike-drawn", "alike-computed", "unlike-drawn", "unlike-computed"]
)
@pytest.mark.parametrize("recall", RECALLS)
def test_intervals_cover_through_the_whole_schedule(recall: float, kind: str) -> None:
    facts = Facts(recall, kind, 300, np.random.default_rng(1))
    covered = []
    for fact, values in enumerate(through_the_schedule(facts, 2.0, seed=0)):
        rows = [
            Estimate.counted(float(c), v) for c, v in zip(facts.certain[fact], values, strict=True)
        ]
        found = recall_of(rows)
        covered.append(found.low - 1e-9 <= facts.truths[fact] <= found.high + 1e-9)
    assert np.mean(covered) >= 0.9


@pytest.mark.parametrize("recall", [0.05, 0.24, 0.5, 0.8])
def test_allocated_means_are_unbiased(recall: float) -> None:
    """The trap: stopping when the pilot looks certain gave +.06 at .8 and −.04 at .2."""
    facts = Facts(recall, "unlike-drawn", 2000, np.random.default_rng(2))
    errors = [
        float(np.mean([np.mean(v) for v in values])) - truth
        for values, truth in zip(through_the_schedule(facts, 1.5, 0), facts.truths, strict=True)
    ]
    assert abs(np.mean(errors)) < 4 * np.std(errors) / np.sqrt(len(errors))
    assert np.std(errors) / np.sqrt(len(errors)) < 0.002


def pilots(count: int, random: np.random.Generator) -> list[Pilot]:
    found = []
    for index in range(count):
        rate = random.random()
        values = (random.random(K) < rate).astype(float)
        found.append(Pilot(f"{index:04}", np.zeros(K), values))
    return found


def test_a_prompts_own_pilot_decides_nothing_about_its_draws() -> None:
    before = pilots(20, np.random.default_rng(3))
    for template in range(K):
        changed = before[0].values_K.copy()
        changed[template] = 1.0 - changed[template]
        after = [before[0]._replace(values_K=changed), *before[1:]]
        one = further_draws(before, 600, 0)[0]
        two = further_draws(after, 600, 0)[0]
        assert one[template] == two[template]


@pytest.mark.parametrize("total", [0, 10, 500, 4000])
def test_the_budget_is_met(total: int) -> None:
    counts = further_draws(pilots(200, np.random.default_rng(4)), total, 0)
    spent = sum(int(each.sum()) for each in counts)
    assert spent == pytest.approx(total, rel=0.1, abs=15)
    assert max(int(each.max()) for each in counts) <= MOST


@pytest.mark.parametrize("facts", [1, FEW - 1])
def test_few_facts_get_the_same_everywhere(facts: int) -> None:
    counts = further_draws(pilots(facts, np.random.default_rng(5)), 2 * K * facts, 0)
    assert [each.tolist() for each in counts] == [[2] * K] * facts


def even(share: float) -> NDArray[np.float64]:
    return (np.arange(K) < share * K).astype(float)


def test_open_levels_get_more() -> None:
    certain = np.zeros(K)
    closed = openness(Pilot("a", certain, np.ones(K)))
    open_ = openness(Pilot("b", certain, even(0.25)))
    assert open_.min() > 0.3 > closed.max()
    group = [Pilot("a", certain, np.ones(K)), Pilot("b", certain, even(0.25))] * 8
    counts = further_draws(group, 16 * K, 0)
    assert counts[1].sum() > 4 * counts[0].sum()


def test_what_is_computed_needs_no_draws() -> None:
    certain = np.where(np.arange(K) < 10, 0.9, 0.0)
    values = np.where(np.arange(K) < 10, 0.9, even(0.8))
    counts = sum(further_draws([Pilot(f"{n}", certain, values) for n in range(20)], 20 * K, 0))
    assert counts[:10].sum() * 4 < counts[10:].sum()


@pytest.mark.parametrize("most", [0, 1, 7])
def test_no_prompt_gets_more_than_there_are(most: int) -> None:
    counts = further_draws(pilots(40, np.random.default_rng(6)), 4000, 0, most=most)
    assert max(int(each.max()) for each in counts) == most
