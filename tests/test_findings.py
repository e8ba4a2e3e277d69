"""The findings page: its verdicts follow from intervals, its numbers from docs/data."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from loaded_script import load_script
from sixtyfold.core.errors import BadInput

STUDIES = Path(__file__).parents[1] / "docs" / "studies"


@pytest.fixture(scope="module")
def findings() -> ModuleType:
    return load_script(STUDIES / "findings.py")


@pytest.fixture
def page(findings: ModuleType) -> Any:
    return findings.Page()


def row(value: float, low: float, high: float) -> str:
    return f"select {value} as value, {low} as low, {high} as high"


@pytest.mark.parametrize(
    ("low", "high", "claimed", "expected"),
    [
        (0.01, 0.05, "+", "holds"),
        (0.01, 0.05, "-", "the opposite"),
        (-0.05, -0.01, "-", "holds"),
        (-0.05, 0.05, "+", "cannot tell"),
        (-0.02, 0.02, "-", "less than 3 points"),
        (-0.02, 0.04, "-", "cannot tell"),
    ],
)
def test_a_sign_is_claimed_where_the_interval_has_it(
    page: Any, low: float, high: float, claimed: str, expected: str
) -> None:
    assert page.sign(row((low + high) / 2, low, high), claimed) == expected


@pytest.mark.parametrize(
    ("p_holm", "claimed", "expected"),
    [(0.04, "+", "holds"), (0.06, "+", "holds, alone"), (0.06, "-", "the opposite, alone"),
     ("null", "+", "holds")],
)  # fmt: skip
def test_what_does_not_hold_among_all_of_its_kind_is_said_to_hold_alone(
    page: Any, p_holm: object, claimed: str, expected: str
) -> None:
    query = f"{row(0.03, 0.01, 0.05)}, {p_holm} as p_holm"
    assert page.sign(query, claimed) == expected


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0.07, 0.04, 0.10), (0.0, -0.02, 0.02)], "does not hold"),
        # Better for sure, but not by three points for sure.
        ([(0.05, 0.01, 0.09), (0.0, -0.02, 0.02)], "cannot tell"),
        ([(0.01, -0.01, 0.02), (-0.02, -0.05, 0.01)], "holds"),
        ([(0.01, -0.03, 0.05)], "cannot tell"),
        # Worse, and surely so, is no argument against enough.
        ([(-0.05, -0.09, -0.01)], "holds"),
    ],
)
def test_enough_means_that_nothing_is_better_by_three_points(
    page: Any, rows: list[tuple[float, float, float]], expected: str
) -> None:
    assert page.enough(" union all ".join(row(*each) for each in rows)) == expected


def test_a_number_of_the_page_has_one_source(page: Any) -> None:
    with pytest.raises(BadInput, match="0 rows where the page needs one"):
        page.points(row(0, 0, 0) + " where false")
    with pytest.raises(BadInput, match="no rows for a table"):
        page.table(row(0, 0, 0) + " where false")


def test_a_table_shows_its_query(page: Any) -> None:
    query = "select '60' as size, .515 as value, .48 as low, .551 as high"
    text = page.table(query, value="percent")
    assert text.splitlines()[:3] == [
        "| size | value |",
        "| --- | --- |",
        "| 60 | 51.5% (48.0–55.1) |",
    ]
    assert f"`{query}`" in text


def test_a_table_of_two_directions_leaves_a_dash_where_nothing_is_known(page: Any) -> None:
    cells = [("0", "in", 0.1), ("0", "out", 0.2), ("1", "in", 0.3)]
    query = " union all ".join(
        f"select '{level}' as trained, '{domain}' as domain, {value} as value, 0 as low, 1 as high"
        for level, domain, value in cells
    )
    assert page.crossed(f"{query} order by 1, 2", value="percent").splitlines()[:4] == [
        "| trained | in | out |",
        "| --- | --- | --- |",
        "| 0 | 10.0% (0.0–100.0) | 20.0% (0.0–100.0) |",
        "| 1 | 30.0% (0.0–100.0) | – |",
    ]
    with pytest.raises(BadInput, match="two rows for one cell"):
        page.crossed(f"{query} union all {query}")


def test_a_claim_stands_beside_its_difference(page: Any) -> None:
    assert page.claimed(row(0.03, 0.01, 0.05), "-") == ("+3.0 (+1.0 to +5.0) | the opposite")


def test_what_is_written_across_is_in_order(page: Any) -> None:
    across = ["natural", "2,3", "1920", "240", "0"]
    query = " union all ".join(
        f"select 'm' as model, '{each}' as size, 1 as value" for each in across
    )
    head = page.crossed(query).splitlines()[0]
    assert head == "| model | size 0 | size 240 | size 1920 | size 2,3 | natural |"


def test_the_page_is_what_its_data_say(findings: ModuleType) -> None:
    assert findings.PAGE.read_text(encoding="utf-8") == findings.page()


def test_guides_quote_numbers_that_are_on_the_page(findings: ModuleType) -> None:
    def numbers(text: str) -> set[str]:
        return set(re.findall(r"\d+\.\d+", re.sub(r"\[.*?\]\(.*?\)", "", text)))

    page = numbers(findings.PAGE.read_text(encoding="utf-8"))
    quoting = [
        (guide.name, paragraph)
        for guide in (findings.PAGE.parent / "guides").glob("*.md")
        for paragraph in guide.read_text(encoding="utf-8").split("\n\n")
        if "(../findings.md" in paragraph and numbers(paragraph)
    ]
    assert {name for name, _ in quoting} >= {"drop.md", "how-many.md"}
    for name, paragraph in quoting:
        assert numbers(paragraph) <= page, name


def test_nothing_is_too_small_to_be_told_that_is_not_in_points(page: Any) -> None:
    assert page.change(row(0.001, -0.002, 0.004), "+") == "0.001 (-0.002 to 0.004) | cannot tell"
    assert page.change(row(0.003, 0.002, 0.004), "+") == "0.003 (0.002 to 0.004) | holds"


def test_single_numbers_tell_their_queries_once(page: Any) -> None:
    first, second = row(0.03, 0.01, 0.05), row(0.5, 0.4, 0.6)
    page.claimed(first, "-")
    page.claimed(first, "-")
    page.change(second, "+")
    told = page.queries()
    assert told.count(f"`{first}`") == told.count(f"`{second}`") == 1
    assert "queries</summary>" in told
    page.points(second)
    assert first not in page.queries()
