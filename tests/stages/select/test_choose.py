from __future__ import annotations

import itertools

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.select.choose import choose

POOLS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1)


def pool(counts: dict[str, int]) -> pl.DataFrame:
    rows = [
        {"fact_id": f"{name}{index}", "relation": name}
        for name, count in counts.items()
        for index in range(count)
    ]
    return pl.DataFrame(rows, schema={"fact_id": pl.String, "relation": pl.String})


def ids(chosen: pl.DataFrame) -> list[str]:
    return chosen["fact_id"].to_list()


@given(POOLS, st.integers(0, 5))
def test_a_smaller_choice_begins_a_larger_one(counts: dict[str, int], seed: int) -> None:
    facts = pool(counts)
    largest = facts.height
    choices = [
        ids(choose(facts, size, seed, "fill", sorted(counts))) for size in range(1, largest + 1)
    ]
    for smaller, larger in itertools.pairwise(choices):
        assert larger[: len(smaller)] == smaller
        assert len(larger) == len(smaller) + 1
    assert not choices or sorted(choices[-1]) == sorted(ids(facts))


@given(st.randoms(), st.integers(1, 18))
def test_row_order_changes_nothing(random: object, size: int) -> None:
    facts = pool({"a": 6, "b": 6, "c": 6})
    order = list(range(18))
    random.shuffle(order)  # type: ignore[attr-defined]
    wanted = ids(choose(facts, size, 0, "error", ["a", "b", "c"]))
    assert ids(choose(facts[order], size, 0, "error", ["c", "a", "b"])) == wanted


@given(POOLS, st.integers(1, 20), st.integers(0, 3))
def test_balanced_within_one_or_refused(counts: dict[str, int], size: int, seed: int) -> None:
    facts = pool(counts)
    relations = sorted(counts)
    try:
        chosen = choose(facts, size, seed, "error", relations)
    except BadInput:
        each = min(size, sum(min(have, -(-size // len(counts))) for have in counts.values()))
        assert size > facts.height or each < size or min(counts.values()) < size // len(counts)
        return
    taken = [int((chosen["relation"] == name).sum()) for name in relations]
    assert sum(taken) == size
    assert max(taken) - min(taken) <= 1


def test_seeds_choose_differently() -> None:
    facts = pool({"a": 30, "b": 30})
    choices = {tuple(ids(choose(facts, 10, seed, "error", ["a", "b"]))) for seed in range(4)}
    assert len(choices) == 4


def test_a_short_relation_is_named() -> None:
    facts = pool({"a": 10, "b": 2})
    with pytest.raises(BadInput, match=r"needs about 5 facts of each; b has 2; use --short fill"):
        choose(facts, 10, 0, "error", ["a", "b"])
    filled = choose(facts, 10, 0, "fill", ["a", "b"])
    assert filled["relation"].value_counts().sort("relation").rows() == [("a", 8), ("b", 2)]


def test_a_relation_without_any_fact_of_these_levels_is_named() -> None:
    with pytest.raises(BadInput, match="b has 0"):
        choose(pool({"a": 10}), 10, 0, "error", ["a", "b"])


def test_one_less_than_its_share_is_short_where_nothing_is_left_over() -> None:
    with pytest.raises(BadInput, match="b has 4"):
        choose(pool({"a": 10, "b": 4}), 10, 0, "error", ["a", "b"])
    assert choose(pool({"a": 10, "b": 4}), 9, 0, "error", ["a", "b"]).height == 9


def test_a_size_beyond_the_pool_is_refused() -> None:
    with pytest.raises(BadInput, match="--size 13 is larger than the pool of 12 facts"):
        choose(pool({"a": 6, "b": 6}), 13, 0, "fill", ["a", "b"])
