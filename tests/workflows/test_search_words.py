from __future__ import annotations

import polars as pl
import pytest

from made_up_run import arm
from sixtyfold.workflows.search_words import arms_words, conclusions

CHOSEN = {"family": "svd", "setting": "81% of Σσ² kept", "remaining_norm": 0.9, "rule": "most"}


def table(p: float) -> pl.DataFrame:
    rows = [arm("tuned", None, -0.02, p), arm("interpolation", 0.02, None, p),
            arm("relative", 0.01, -0.012, p), arm("svd", 0.03, 0.01, p)]  # fmt: skip
    return pl.DataFrame(rows)


@pytest.mark.parametrize(
    ("p", "verdicts"),
    [
        (0.2, ["not shown to be better or worse", "not shown to be better or worse"]),
        (0.01, ["it is better", "relative change is worse"]),
    ],
)
def test_conclusions_say_no_more_than_the_tests(p: float, verdicts: list[str]) -> None:
    first, second, third = conclusions(CHOSEN, table(p))
    assert first.endswith("svd, 81% of Σσ² kept; 90.0% of the update's norm left")
    assert verdicts[0] in second
    assert f"(+3.0 (+2.0 to +4.0) points, p Holm {p:.3f}) than the tuned model" in second
    assert verdicts[1] in third
    assert "−1.2" in third


def test_without_a_test_only_the_choice_is_told() -> None:
    assert len(list(conclusions(CHOSEN, None))) == 1
    assert "it stays" in next(conclusions({**CHOSEN, "family": "tuned"}, None))


def test_arms_mark_what_stands_after_holm() -> None:
    shown = arms_words(table(0.01))
    assert shown["over tuned"].to_list() == [
        "", "+2.0 (+1.0 to +3.0)*", "+1.0 (0.0 to +2.0)*", "+3.0 (+2.0 to +4.0)*",
    ]  # fmt: skip
    assert not any("*" in cell for cell in arms_words(table(0.06))["over tuned"])
    assert shown["could see"].to_list() == ["", "5.0", "5.0", "5.0"]


def test_too_few_facts_could_see_no_difference() -> None:
    shown = arms_words(table(0.5).with_columns(tuned_could_see=pl.lit(6.639)))
    assert shown["could see"].unique().to_list() == ["none"]


def test_arms_show_level_4_where_there_are_such_facts() -> None:
    assert "level 4" not in arms_words(table(0.5)).columns
    known = pl.Series([None, 0.5, None, 0.25], dtype=pl.Float64)
    shown = arms_words(table(0.5).with_columns(level_4=known, level_4_n=pl.lit(12)))
    assert shown["level 4"].to_list() == ["", "50.0 of 12", "", "25.0 of 12"]
