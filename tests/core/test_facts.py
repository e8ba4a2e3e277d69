from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.facts import (
    FACTS_SCHEMA,
    check_facts,
    fact_id,
    normalise,
    read_table,
    seeded_order,
)

KEYS = st.lists(st.text(min_size=1, max_size=5), unique=True, max_size=12)


def table(**changed: object) -> pl.DataFrame:
    row = {
        "fact_id": "0" * 16, "relation": "capital", "subject": "Chad", "objects": ["N'Djamena"],
        "question": "What is the capital of Chad?", "split": "train", "domain": "in", "flags": [],
    }  # fmt: skip
    return pl.DataFrame([{**row, "fact_id": "f" * 16}, {**row, **changed}])


def test_facts_are_sorted_and_completed() -> None:
    found = check_facts(table(), "t")
    assert found.schema == FACTS_SCHEMA
    assert found["fact_id"].to_list() == ["0" * 16, "f" * 16]
    assert found["popularity"].null_count() == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fact_id": "f" * 16}, "has a doubled fact_id"),
        ({"objects": []}, "has no accepted answer"),
        ({"split": "valid"}, "needs a split of"),
        ({"domain": "new"}, "needs a domain of"),
    ],
)
def test_a_row_that_is_no_fact_is_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=rf"t: fact .*capital of Chad.*{message}"):
        check_facts(table(**changed), "t")


def test_missing_columns_are_named() -> None:
    with pytest.raises(BadInput, match="missing here: question, flags"):
        check_facts(table().drop("question", "flags"), "t")


def test_keys() -> None:
    key = fact_id("capital", "Chad", "")
    assert len(key) == 16
    assert key == fact_id("CAPITAL", " chad", "whatever")
    assert key != fact_id("currency", "Chad", "")
    assert fact_id("a", "", "What is it?") == fact_id("b", " ", "what  IS it?")


@given(st.text(max_size=12))
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text) or "\u0345" in text


@given(KEYS, st.integers(0, 3), st.randoms())
def test_a_shuffle_depends_on_seed_and_keys_alone(
    keys: list[str], seed: int, random: object
) -> None:
    order = [keys[index] for index in seeded_order(keys, seed)]
    assert sorted(order) == sorted(keys)
    mixed = list(keys)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert [mixed[index] for index in seeded_order(mixed, seed)] == order
    fewer = keys[::2]
    assert [fewer[i] for i in seeded_order(fewer, seed)] == [k for k in order if k in fewer]


def test_seeds_give_different_shuffles() -> None:
    keys = [str(each) for each in range(20)]
    assert seeded_order(keys, 0) != seeded_order(keys, 1)


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no table"):
        read_table(tmp_path / "facts.parquet")
    (tmp_path / "facts.parquet").write_bytes(b"")
    with pytest.raises(Corrupted, match="not a readable Parquet table"):
        read_table(tmp_path / "facts.parquet")
    table().write_parquet(tmp_path / "facts.parquet")
    whole = (tmp_path / "facts.parquet").read_bytes()
    (tmp_path / "facts.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Corrupted, match="not a readable Parquet table"):
        read_table(tmp_path / "facts.parquet")
