from __future__ import annotations

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.evaluate.shots import shots_by_relation


def facts(counts: dict[tuple[str, str, str], int]) -> pl.DataFrame:
    rows = [
        {"fact_id": f"{relation}{split}{index}", "relation": relation, "split": split,
         "domain": domain, "question": f"{relation} {split} {index}?",
         "objects": [f"{split} answer {index}", "alias"]}
        for (relation, domain, split), count in counts.items()
        for index in range(count)
    ]  # fmt: skip
    return pl.DataFrame(rows)


TABLE = facts(
    {
        ("capital", "in", "train"): 6,
        ("capital", "in", "test"): 6,
        ("river", "in", "train"): 2,
        ("river", "in", "dev"): 9,
        ("mayor", "out", "train"): 9,
        ("mayor", "out", "test"): 9,
    }
)


def test_only_in_domain_training_facts_are_shown() -> None:
    for seed in range(5):
        for relation, shots in shots_by_relation(TABLE, 4, seed).items():
            assert len(shots) == len(set(shots)) == 4
            for shot in shots:
                assert " train " in shot.question
                assert not shot.question.startswith("mayor")
                assert shot.answer.startswith("train answer")
            if relation == "capital":
                assert all(shot.question.startswith("capital") for shot in shots)


def test_a_relation_without_enough_of_its_own_gets_a_mix_of_all() -> None:
    found = shots_by_relation(TABLE, 4, 0)
    assert found["river"] == found["mayor"]
    assert {shot.question.split()[0] for shot in found["mayor"]} == {"capital", "river"}


def test_seed_decides_and_row_order_does_not() -> None:
    assert shots_by_relation(TABLE, 4, 0) == shots_by_relation(TABLE.reverse(), 4, 0)
    assert shots_by_relation(TABLE, 4, 0) != shots_by_relation(TABLE, 4, 1)


def test_no_shots_need_no_training_facts() -> None:
    only_test = facts({("capital", "in", "test"): 2})
    assert shots_by_relation(only_test, 0, 0) == {"capital": []}
    with pytest.raises(BadInput, match="--shots 4 needs 4 training facts in domain, there are 0"):
        shots_by_relation(only_test, 4, 0)
