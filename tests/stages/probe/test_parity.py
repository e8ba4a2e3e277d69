"""Parity: levels that differ are tested against dealing the same hits out again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.probe.parity import chance, parity_specs, parity_table
from sixtyfold.stages.probe.spec import ProbeSpec

FACTS, K, DRAWS = 80, 7, 10


def prompts(rates: np.ndarray, seed: int) -> pl.DataFrame:
    hits = np.random.default_rng(seed).binomial(DRAWS, rates)
    return pl.DataFrame(
        {
            "fact_id": np.repeat([f"{index:03}" for index in range(FACTS)], K),
            "draws": np.full(FACTS * K, DRAWS),
            "hits": hits.ravel(),
        }
    )


@pytest.fixture
def rates() -> np.ndarray:
    return np.random.default_rng(0).beta(0.5, 0.5, (FACTS, K))


def test_equal_engines_differ_by_chance_only(rates: np.ndarray) -> None:
    p_values = [
        chance(prompts(rates, 2 * n), prompts(rates, 2 * n + 1), 0, 200).p_value for n in range(40)
    ]
    assert np.mean(np.array(p_values) < 0.1) < 0.25
    assert 0.3 < np.mean(p_values) < 0.75


def test_another_model_is_noticed(rates: np.ndarray) -> None:
    found = chance(prompts(rates, 1), prompts(np.clip(rates + 0.15, 0, 1), 2), 0, 500)
    assert found.differ > found.high
    assert found.p_value < 0.01


def test_table_counts_levels_by_share_of_hits() -> None:
    one = pl.DataFrame({"fact_id": ["a", "a", "b"], "draws": [4, 4, 4], "hits": [1, 1, 0]})
    two = pl.DataFrame({"fact_id": ["a", "a", "b"], "draws": [4, 4, 4], "hits": [4, 3, 1]})
    table = parity_table(one, two, names=["torch", "vllm"])
    assert table["recall_torch"].to_list() == [0.25, 0.0]
    assert table["level_torch"].to_list() == [1, 0]
    assert table["level_vllm"].to_list() == [4, 1]


@pytest.mark.parametrize("given", ["torch", "torch,torch", "torch,jax", "torch,vllm,server"])
def test_unknown_engines_are_refused(given: str) -> None:
    with pytest.raises(BadInput, match="--parity was given"):
        parity_specs(ProbeSpec(out=Path("p"), parity=given))


def test_a_server_needs_its_address() -> None:
    with pytest.raises(BadInput, match="add --server URL"):
        parity_specs(ProbeSpec(out=Path("p"), parity="torch,server"))


def test_both_sides_draw_plainly() -> None:
    spec = ProbeSpec(out=Path("p"), parity="torch,server", server="http://127.0.0.1:1/v1")
    one, two = parity_specs(spec)
    assert (one.drawn_by, two.drawn_by) == ("torch", "server")
    assert {one.estimator, two.estimator} == {"draws"}
    assert one.draws_per_template == 10
