"""Accuracy out of answers: hand-computed cases."""

from __future__ import annotations

import polars as pl
import pytest

from made_up_run import RIGHT, answers, facts
from sixtyfold.core.accuracy import (
    LEAST_PER_LEVEL,
    accuracy,
    by_group,
    check_answers,
    majority_baseline,
    merged_levels,
)
from sixtyfold.core.errors import BadInput
from sixtyfold.core.statistics import macro, wilson


def test_every_accuracy_by_hand() -> None:
    table = answers(facts(), {"capital": 8, "currency": 6, "river": 3})
    found = accuracy(table, "in")
    assert found.macro_relation == macro([8, 6], [10, 10])
    assert found.micro == wilson(14, 20)
    assert found.exact == wilson(12, 20)  # fact 0 of each relation hits without being exact
    assert found.ended == wilson(18, 20)  # fact 9 of each relation does not end
    assert found.macro_level is None
    assert accuracy(table, "out").micro == wilson(3, 10)
    assert accuracy(table).micro == wilson(17, 30)


def test_macro_over_relations_differs_from_micro() -> None:
    rows = pl.concat(
        [
            pl.DataFrame({"relation": ["a"] * 30, "hit": [True] * 30}),
            pl.DataFrame({"relation": ["b"] * 10, "hit": [False] * 10}),
        ]
    ).with_columns(domain=pl.lit("in"), level=pl.lit(0), exact=pl.col("hit"), ended=pl.col("hit"))
    found = accuracy(rows, "in")
    assert found.macro_relation is not None
    assert found.micro is not None
    assert found.macro_relation.value == 0.5
    assert found.micro.value == 0.75


@pytest.mark.parametrize(("smallest", "defined"), [(LEAST_PER_LEVEL, True), (19, False)])
def test_macro_over_levels_needs_twenty_facts_in_each(smallest: int, defined: bool) -> None:
    sizes = [30, 20, 25, 40, smallest]
    levels = [level for level, size in enumerate(sizes) for _ in range(size)]
    rows = pl.DataFrame({"level": levels, "relation": ["a"] * len(levels)}).with_columns(
        domain=pl.lit("in"), hit=pl.col("level") > 2, exact=pl.lit(False), ended=pl.lit(True)
    )
    found = accuracy(rows, "in").macro_level
    assert (found is not None) is defined
    if found is not None:
        assert found.value == pytest.approx(2 / 5)


def test_no_facts_of_a_domain() -> None:
    table = answers(facts(), RIGHT["tuned"]).filter(pl.col("domain") == "in")
    assert accuracy(table, "out") == (None,) * 5
    assert set(accuracy(table, "out").rounded().values()) == {None}


def test_by_group_leaves_unknown_levels_out() -> None:
    rows = pl.DataFrame({"level": [4, 4, 4, None], "hit": [True, True, False, True]})
    table = by_group(rows, "level")
    assert table.select("level", "n", "hits").rows() == [(4, 3, 2)]
    assert table.row(0)[3:] == pytest.approx(wilson(2, 3)[:3])  # type: ignore[index]


def test_majority_baseline_by_hand() -> None:
    table = facts()
    tested = table.filter((pl.col("split") == "test") & (pl.col("domain") == "in"))
    # "common" is the first object of 5 of 10 training facts, and accepted in 5 of 10 test facts.
    assert majority_baseline(table, tested) == macro([5, 5], [10, 10])


def test_majority_learns_from_training_facts_alone() -> None:
    rows = [("t0", "x", "train"), ("t1", "x", "train"), ("t2", "y", "train"),
            ("a", "y", "test"), ("b", "y", "test"), ("c", "X ", "test")]  # fmt: skip
    table = pl.DataFrame(
        {
            "fact_id": [row[0] for row in rows],
            "relation": ["r"] * len(rows),
            "objects": [[row[1]] for row in rows],
            "split": [row[2] for row in rows],
        }
    )
    found = majority_baseline(table, table.filter(pl.col("split") == "test"))
    assert found is not None
    assert found.value == pytest.approx(1 / 3)  # "x" by training, "y" would have had 2/3


def test_merged_levels() -> None:
    assert merged_levels([5, 5, 5, 5, 100]) == [[0, 1, 2, 3], [4]]
    assert merged_levels([0, 0, 0, 0, 0]) == [[0, 1, 2, 3, 4]]
    assert merged_levels([100, 0, 0, 0, 0]) == [[0, 1, 2, 3, 4]]
    for group in merged_levels([21, 3, 18, 25, 19]):
        assert sum([21, 3, 18, 25, 19][level] for level in group) >= LEAST_PER_LEVEL


def test_bad_answers_are_named() -> None:
    table = answers(facts(), RIGHT["tuned"])
    with pytest.raises(BadInput, match=r"missing here: hit; make it with 'sixtyfold evaluate'"):
        check_answers(table.drop("hit"), "x")
    with pytest.raises(BadInput, match="stands twice"):
        check_answers(pl.concat([table, table.head(1)]), "x")
    with pytest.raises(BadInput, match="rows have no 'hit'"):
        check_answers(table.with_columns(hit=pl.lit(None, dtype=pl.Boolean)), "x")
    with pytest.raises(BadInput, match="another type"):
        check_answers(table.with_columns(f1=pl.lit("much")), "x")


def test_a_table_without_levels_is_fine() -> None:
    table = check_answers(answers(facts(), RIGHT["tuned"]).drop("level"), "x")
    assert table["level"].null_count() == table.height
