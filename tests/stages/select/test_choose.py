from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.select.choose import first, in_training_order, shortfalls
from sixtyfold.stages.select.spec import SelectSpec

COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1)
LEVELS = st.lists(st.integers(0, 4), min_size=1, max_size=40)
SHARES = st.sampled_from(["natural", "0:.1,2:.5,4:.4", "1:.5,3:.5", "0:.25,1:.25,2:.25,3:.25"])
BALANCES = st.sampled_from(
    ["relations", "none", "relations,answers", "relations,answers,length", "answers", "length"]
)


def pool(counts: dict[str, int]) -> pl.DataFrame:
    """Facts with a level and an answer that both follow from their number."""
    rows = [
        {
            "fact_id": f"{name}{index}",
            "relation": name,
            "level": index % 5,
            "objects": ["word " * (index % 3) + f"answer{index % 4}"],
        }
        for name, count in counts.items()
        for index in range(count)
    ]
    schema = {
        "fact_id": pl.String,
        "relation": pl.String,
        "level": pl.Int8,
        "objects": pl.List(pl.String),
    }
    return pl.DataFrame(rows, schema=schema)


def asked(**options: Any) -> SelectSpec:
    return SelectSpec.parse({"probe": Path("p"), "out": Path("o"), **options})


def choose(
    facts: pl.DataFrame, size: int, relations: list[str], seed: int = 0, **options: Any
) -> pl.DataFrame:
    spec = asked(**options)
    allowed = facts.filter(pl.col("level").is_in(spec.mixture.levels))
    ordered = in_training_order(allowed, spec, seed, relations)
    return first(ordered, str(size), spec, relations)


def ids(chosen: pl.DataFrame) -> list[str]:
    return chosen["fact_id"].to_list()


@given(COUNTS, st.integers(0, 5), SHARES, BALANCES)
def test_a_smaller_choice_begins_a_larger_one(
    counts: dict[str, int], seed: int, levels: str, balance: str
) -> None:
    facts = pool(counts)
    spec = asked(levels=levels, balance=balance)
    allowed = facts.filter(pl.col("level").is_in(spec.mixture.levels))
    options: dict[str, Any] = {"levels": levels, "balance": balance, "short": "fill"}
    choices = [
        ids(choose(facts, size, sorted(counts), seed, **options))
        for size in range(1, allowed.height + 1)
    ]
    for smaller, larger in itertools.pairwise(choices):
        assert larger[: len(smaller)] == smaller
        assert len(larger) == len(smaller) + 1
    assert not choices or sorted(choices[-1]) == sorted(ids(allowed))


@given(st.randoms(), st.integers(1, 18), SHARES, BALANCES)
def test_row_order_changes_nothing(random: Any, size: int, levels: str, balance: str) -> None:
    facts = pool({"a": 30, "b": 30, "c": 30})
    order = list(range(facts.height))
    random.shuffle(order)
    options: dict[str, Any] = {"levels": levels, "balance": balance, "short": "fill"}
    wanted = ids(choose(facts, size, ["a", "b", "c"], **options))
    assert ids(choose(facts[order], size, ["c", "a", "b"], **options)) == wanted


@given(COUNTS, st.integers(1, 20), st.integers(0, 3))
def test_balanced_within_one_or_refused(counts: dict[str, int], size: int, seed: int) -> None:
    facts = pool(counts)
    relations = sorted(counts)
    try:
        chosen = choose(facts, size, relations, seed, short="error")
    except BadInput:
        each = min(size, sum(min(have, -(-size // len(counts))) for have in counts.values()))
        assert size > facts.height or each < size or min(counts.values()) < size // len(counts)
        return
    taken = [int((chosen["relation"] == name).sum()) for name in relations]
    assert sum(taken) == size
    assert max(taken) - min(taken) <= 1


@given(LEVELS, SHARES.filter(lambda text: ":" in text), st.integers(1, 30), st.integers(0, 3))
def test_shares_hold_within_one_or_are_reported(
    levels: list[int], shares: str, size: int, seed: int
) -> None:
    facts = pool({"a": len(levels), "b": len(levels)}).with_columns(
        level=pl.Series(levels + levels[::-1], dtype=pl.Int8)
    )
    spec = asked(levels=shares, short="fill", balance="none")
    allowed = facts.filter(pl.col("level").is_in(spec.mixture.levels))
    if size > allowed.height:
        return
    chosen = choose(facts, size, ["a", "b"], seed, levels=shares, short="fill", balance="none")
    counted = Counter(chosen["level"])
    short = {each.what for each in shortfalls(chosen, spec, ["a", "b"])}
    for level, share in zip(spec.mixture.levels, spec.mixture.shares or (), strict=True):
        supply = int((allowed["level"] == level).sum())
        if counted[level] < share * size - 1.5:
            assert f"level {level}" in short
            assert counted[level] == supply  # only an exhausted level may be short


def test_shares_and_relations_hold_together_where_supply_allows() -> None:
    facts = pool({"a": 100, "b": 100, "c": 100, "d": 100})
    for size in (10, 20, 40, 60):
        chosen = choose(facts, size, list("abcd"), levels="0:.1,2:.5,4:.4")
        per_relation = Counter(chosen["relation"])
        assert max(per_relation.values()) - min(per_relation.values()) <= 1
        counted = Counter(chosen["level"])
        assert abs(counted[0] - 0.1 * size) <= 1
        assert abs(counted[2] - 0.5 * size) <= 1
        assert abs(counted[4] - 0.4 * size) <= 1
        for name in "abcd":  # levels and relations, both taken in turn, do not go in step
            inside = Counter(chosen.filter(relation=name)["level"])
            each = per_relation[name]
            assert all(abs(inside[n] - s * each) <= 1.5 for n, s in ((0, 0.1), (2, 0.5), (4, 0.4)))


def test_a_level_that_runs_out_is_named() -> None:
    facts = pool({"a": 20, "b": 20})  # eight facts of level 2
    with pytest.raises(BadInput, match=r"--size 16 .*level 2 has 8 of 14; use --short fill"):
        choose(facts, 16, ["a", "b"], levels="2:.9,4:.1")
    filled = choose(facts, 16, ["a", "b"], levels="2:.9,4:.1", short="fill")
    assert Counter(filled["level"]) == {2: 8, 4: 8}


def test_answers_take_turns_inside_a_relation() -> None:
    facts = pool({"a": 40}).with_columns(
        objects=pl.Series([["Paris"]] * 37 + [["Oslo"], ["Rome"], ["Bern"]])
    )
    spread = choose(facts, 4, ["a"], balance="relations,answers")
    assert sorted(each[0] for each in spread["objects"]) == ["Bern", "Oslo", "Paris", "Rome"]
    plain = choose(facts, 4, ["a"])
    assert Counter(each[0] for each in plain["objects"])["Paris"] >= 2


def test_answers_that_differ_in_case_are_one_answer() -> None:
    facts = pool({"a": 4}).with_columns(
        objects=pl.Series([["Paris"], ["PARIS"], ["paris"], ["Oslo"]])
    )
    spread = choose(facts, 2, ["a"], balance="answers")
    assert {each[0].casefold() for each in spread["objects"]} == {"paris", "oslo"}


def test_lengths_take_turns_and_answers_inside_them() -> None:
    long = [["one two three"]] * 20 + [["four five six"]]
    facts = pool({"a": 22}).with_columns(objects=pl.Series([["short"], *long]))
    spread = choose(facts, 3, ["a"], balance="answers,length")
    assert {each[0] for each in spread["objects"]} == {"short", "one two three", "four five six"}


def test_seeds_choose_differently() -> None:
    facts = pool({"a": 30, "b": 30})
    choices = {tuple(ids(choose(facts, 10, ["a", "b"], seed))) for seed in range(4)}
    assert len(choices) == 4


def test_a_short_relation_is_named() -> None:
    facts = pool({"a": 10, "b": 2})
    with pytest.raises(BadInput, match=r"is more than there is: b has 2 of 5; use --short fill"):
        choose(facts, 10, ["a", "b"])
    filled = choose(facts, 10, ["a", "b"], short="fill")
    assert filled["relation"].value_counts().sort("relation").rows() == [("a", 8), ("b", 2)]


def test_a_relation_without_any_fact_of_these_levels_is_named() -> None:
    with pytest.raises(BadInput, match="b has 0"):
        choose(pool({"a": 10}), 10, ["a", "b"])


def test_one_less_than_its_share_is_short_where_nothing_is_left_over() -> None:
    with pytest.raises(BadInput, match="b has 4"):
        choose(pool({"a": 10, "b": 4}), 10, ["a", "b"])
    assert choose(pool({"a": 10, "b": 4}), 9, ["a", "b"]).height == 9


def test_a_size_beyond_the_pool_is_refused() -> None:
    with pytest.raises(BadInput, match="--size 13 is larger than the pool of 12 facts"):
        choose(pool({"a": 6, "b": 6}), 13, ["a", "b"], short="fill")
