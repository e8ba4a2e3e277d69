from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.replicates import replicated_difference, replicated_mean
from sixtyfold.study.contrast_numbers import ACCURACY, Average, averages


def facts(values: list[float], levels: list[int | None] | None = None) -> pl.DataFrame:
    count = len(values)
    return pl.DataFrame(
        {
            "fact_id": [f"f{index:03d}" for index in range(count)],
            "domain": ["in"] * count,
            "relation": [f"r{index % 2}" for index in range(count)],
            "level": levels or [None] * count,
            "value": values,
        },
        schema_overrides={"level": pl.Int8, "value": pl.Float64},
    )


def only(found: list[Average], over: str, part: str | None = None) -> Average:
    (one,) = (each for each in found if (each.over, each.part) == (over, part))
    return one


def test_drift_is_the_mean_difference_of_the_same_facts() -> None:
    before = [facts([1.0, 2.0, 3.0]), facts([2.0, 2.0, 2.0])]
    after = [facts([2.0, 2.0, 7.0]), facts([5.0, 3.0, 2.0])]
    found = list(averages(after, before, "js"))
    expected = replicated_mean(np.array([[1.0, 0.0, 4.0], [3.0, 1.0, 0.0]]))
    (whole,) = found  # no mean over relations, and no level is known
    assert whole[:3] == ("in", "facts", None)
    assert whole[3:7] == pytest.approx((1.5, *expected.two_sided()))
    assert whole.facts == 3


def test_drift_is_not_cut_to_accuracies() -> None:
    found = list(averages([facts([8.0, 9.0, 13.0])], None, "kl_tuned_base"))
    assert found[0].value == pytest.approx(10)
    assert found[0].high > 10
    assert found[0].p is None


def test_levels_are_averaged_where_each_has_twenty_facts() -> None:
    levels: list[int | None] = [level for level in range(5) for _ in range(20)]
    levels += [0] * 100
    hits = [float(level in (3, 4)) for level in levels if level is not None]
    found = list(averages([facts(hits, levels)], None, ACCURACY))
    assert only(found, "levels").value == pytest.approx(2 / 5)
    assert only(found, "facts").value == pytest.approx(40 / 200)
    assert only(found, "facts", "level 4").value == pytest.approx(1)
    assert only(found, "facts", "level 0").low == 0
    assert only(found, "facts", "level 0").facts == 120
    expected = replicated_difference(
        np.zeros((1, 200), bool), np.array([hits]) > 0, [str(level) for level in levels]
    )
    assert only(found, "levels").high == pytest.approx(expected.two_sided().high)


def test_levels_with_few_facts_count_as_one_with_their_neighbours() -> None:
    levels: list[int | None] = [*([0, 1, 2] * 30), *([3] * 12), *([4] * 8)]
    hits = [float(level == 4) for level in levels]
    found = list(averages([facts(hits, levels)], None, ACCURACY))
    merged = only(found, "levels 0, 1, 2, 3-4")
    assert merged.value == pytest.approx((8 / 20) / 4)
    assert merged.facts == 110
    assert "levels" not in {each.over for each in found}
    assert only(found, "facts", "level 4").facts == 8


def test_one_group_of_levels_has_no_mean_over_levels() -> None:
    levels: list[int | None] = [0, 1, 2, 3, 4]
    found = list(averages([facts([1.0] * 5, levels)], None, ACCURACY))
    assert not [each for each in found if each.over.startswith("levels")]


def test_other_facts_are_refused() -> None:
    with pytest.raises(BadInput, match="not of the same facts"):
        list(averages([facts([1.0, 0.0])], [facts([1.0, 0.0, 1.0])], ACCURACY))
