"""The explorer in a real browser: it shows, filters, opens, and keeps to itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from made_up_store import HOSTILE, build_store
from playwright.sync_api import Page, expect
from serving import Watched, served

import made_up_run
from sixtyfold.core.statistics import macro

pytest_plugins = ("explorer_fixtures",)

PLACES = ("", "runs", "ask", "fact?id=capital-test-000000&a=1111111111111111&b=2222222222222222")


def choose(page: Page, label: str, *options: str) -> None:
    """Choose options of a list, by keyboard focus and mouse as a person would."""
    page.get_by_role("combobox", name=label, exact=True).click()
    for option in options:
        page.get_by_role("option", name=option).click()
    page.keyboard.press("Escape")


def cells(page: Page, column: int) -> list[str]:
    """The texts of a column of the table of facts."""
    return page.locator(f".q-table tbody tr td:nth-child({column})").all_inner_texts()


def test_first_page_compares_base_and_tuned(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(address)
    expect(page.get_by_text("1–25 of 60 facts")).to_be_visible()
    # 20 facts a relation: base answers 4 of ten, the first tuned run 6
    expect(page.get_by_text("in-domain, 40 facts")).to_contain_text("A 40.0%, B 60.0%")
    expect(page.get_by_text("in-domain, 40 facts")).to_contain_text("+20.0 points")
    expect(page.locator(".chart svg")).to_be_visible()
    chart = page.locator(".chart").get_attribute("aria-label") or ""
    # i % 5 is the level; i % 10 below 4 is kept, 4 and 5 are gained
    assert "level 0: 6 kept, 0 lost, 6 gained, 0 never" in chart
    assert "level 4: 0 kept, 0 lost, 6 gained, 6 never" in chart


def test_filters_narrow_the_table_and_the_address_keeps_them(
    watched: Watched, address: str
) -> None:
    page = watched.page
    page.goto(address)
    expect(page.get_by_text("of 60 facts")).to_be_visible()
    choose(page, "State", "gained")
    expect(page.get_by_text("1–12 of 12 facts")).to_be_visible()
    assert set(cells(page, 1)) == {"▲ gained"}
    choose(page, "Relation", "river")
    expect(page.get_by_text("1–4 of 4 facts")).to_be_visible()
    page.get_by_label("Text in question or answers").fill("ALIAS 15")
    expect(page.get_by_text("1–1 of 1 facts")).to_be_visible()
    assert cells(page, 6) == ["What is the river of Subject 15?"]
    expect(page).to_have_url(re.compile("state=gained"))
    page.reload()
    expect(page.get_by_text("1–1 of 1 facts")).to_be_visible()
    choose(page, "Level", "1")
    expect(page.get_by_text("0–0 of 0 facts")).to_be_visible()
    expect(page.get_by_text("no fact passes the filters")).to_be_visible()


def test_rows_turn_and_sort(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(address)
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("51–60 of 60 facts")).to_be_visible()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("columnheader", name="Question").click()
    expect(page.get_by_text("1–25 of 60 facts")).to_be_visible()
    assert cells(page, 6)[0] == "What is the capital of Subject 0?"
    page.get_by_role("columnheader", name="Question").click()
    expect(page.locator(".q-table tbody tr").first).to_contain_text("river of Subject 9?")
    expect(page.get_by_role("combobox", name="Sorted by")).to_have_value("question")


def test_rows_are_sorted_from_the_keyboard(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(address)
    expect(page.get_by_text("1–25 of 60 facts")).to_be_visible()
    page.get_by_role("combobox", name="Sorted by").press("Enter")
    page.get_by_role("option", name="recall").wait_for()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_role("combobox", name="Sorted by")).to_have_value("recall")
    expect(page.locator(".q-table tbody tr").first).to_contain_text("0.000")
    assert cells(page, 5) == sorted(cells(page, 5))
    page.get_by_role("checkbox", name="Descending").press("Space")
    expect(page.locator(".q-table tbody tr").first).to_contain_text("1.000")
    assert cells(page, 5) == sorted(cells(page, 5), reverse=True)
    page.get_by_role("checkbox", name="Descending").press("Space")
    expect(page.locator(".q-table tbody tr").first).to_contain_text("0.000")
    page.get_by_role("link", name="What is the capital of Subject 0?").press("Enter")
    expect(page.get_by_role("heading", name="One fact")).to_be_visible()


def test_any_two_runs_are_compared(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(f"{address}?a=2222222222222222&b=4444444444444444")
    expect(page.get_by_text("in-domain, 40 facts")).to_contain_text("A 60.0%, B 30.0%")
    page.get_by_role("button", name="Swap").click()
    expect(page.get_by_text("in-domain, 40 facts")).to_contain_text("A 30.0%, B 60.0%")
    field = page.get_by_role("combobox", name="After (B)")
    field.click()
    field.fill("240 · seed 0")
    page.get_by_role("option", name="size 240 · seed 0 · test").click()
    expect(page.get_by_text("in-domain, 40 facts")).to_contain_text("A 30.0%, B 50.0%")


def test_runs_without_a_common_fact_are_told(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(f"{address}?a=5555555555555555&b=2222222222222222")
    expect(page.get_by_role("alert")).to_contain_text("answer no common fact")


def test_a_fact_opens_with_templates_and_all_answers(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(address)
    page.get_by_label("Text in question or answers").fill("river of subject 14?")
    expect(page.get_by_text("1–1 of 1 facts")).to_be_visible()
    page.get_by_role("link", name="What is the river of Subject 14?").click()
    expect(page.get_by_text("The river of Subject 14 is")).to_be_visible()
    expect(page.get_by_text("1.000 (95% interval 0.800 to 1.000)")).to_be_visible()
    expect(page.get_by_text("0.5, 0.125").first).to_be_visible()
    # 14 % 10 = 4: right in the runs of six and five of ten
    expect(page.get_by_text("right in 2 of 4 runs")).to_be_visible()
    expect(page.get_by_text("A ▸ made-up · base · test")).to_be_visible()
    page.get_by_role("link", name="Back to the comparison").click()
    expect(page.get_by_text("1–25 of 60 facts")).to_be_visible()


def test_an_unknown_fact_is_told(watched: Watched, address: str) -> None:
    watched.page.goto(f"{address}fact?id=nothing")
    expect(watched.page.get_by_role("alert")).to_contain_text("no fact here has the key 'nothing'")


def test_runs_are_listed_with_accuracy_and_lead_to_comparisons(
    watched: Watched, address: str
) -> None:
    page = watched.page
    page.goto(f"{address}runs")
    expect(page.get_by_text("1–5 of 5 runs")).to_be_visible()
    page.get_by_label("Words in the name of a run").fill("240 seed 1")
    _, low, high, _ = macro([6, 6], [20, 20]) or pytest.fail("no interval")
    interval = f"{100 * low:.1f}% to {100 * high:.1f}%"
    expect(page.get_by_text("1–1 of 1 runs")).to_be_visible()
    expect(page.locator(".q-table tbody tr")).to_contain_text(f"30.0% ({interval})")
    page.get_by_role("link", name="with its base").click()
    expect(page.get_by_text("in-domain, 40 facts")).to_contain_text("A 40.0%, B 30.0%")


def opened(page: Page, address: str, place: str) -> None:
    """Open a place and wait for what it fetches later."""
    page.goto(address + place)
    expect(page.locator("h1")).to_be_visible()
    if place in ("", "runs"):
        expect(page.get_by_role("status")).not_to_be_empty()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_nothing_serious_for_axe(
    watched: Watched, address: str, place: str, scheme: Literal["light", "dark"]
) -> None:
    watched.page.emulate_media(color_scheme=scheme)
    opened(watched.page, address, place)
    found = Axe().run(watched.page).response["violations"]
    serious = {
        each["id"]: [node["html"][:200] for node in each["nodes"]]
        for each in found
        if each["impact"] in ("serious", "critical")
    }
    assert serious == {}


@pytest.mark.parametrize("place", PLACES)
def test_fits_a_phone(watched: Watched, address: str, place: str) -> None:
    watched.page.set_viewport_size({"width": 360, "height": 740})
    opened(watched.page, address, place)
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_every_request_stays_here(watched: Watched, address: str) -> None:
    for place in PLACES:
        opened(watched.page, address, place)
    hosts = {urlsplit(url).netloc for url in watched.requests if not url.startswith("data:")}
    assert hosts == {urlsplit(address).netloc}
    assert any(url.startswith("ws://") for url in watched.requests)


def test_a_run_directory_is_looked_at_too(watched: Watched, tmp_path: Path) -> None:
    run = made_up_run.build_run(tmp_path / "run")
    page = watched.page
    with served("--run", str(run)) as address:
        page.goto(address)
        expect(page.get_by_text("1–25 of 30 facts")).to_be_visible()
        expect(page.get_by_role("combobox", name="Before (A)")).to_have_value(
            "base, 4 worked examples · test"
        )
        choose(page, "State", "gained")
        expect(page.get_by_text("1–4 of 4 facts")).to_be_visible()
        page.goto("about:blank")


def test_hostile_strings_are_shown_as_text(watched: Watched, tmp_path: Path) -> None:
    build_store(tmp_path / "<b>store", hostile=True)
    page = watched.page
    with served("--store", str(tmp_path / "<b>store")) as address:
        page.goto(address)
        expect(page.get_by_text("of 30 facts")).to_be_visible()
        assert any(HOSTILE[:40] in text for text in cells(page, 9))
        page.get_by_role("link", name=HOSTILE).first.click()
        expect(page.get_by_text("Answers through time")).to_be_visible()
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        expect(page.get_by_text("⟨U+202E⟩gnirts⟨U+202C⟩ ⟨U+001B⟩[31m").first).to_be_visible()
        expect(page.get_by_text("{{ 7 * 7 }}").first).to_be_visible()
        page.get_by_role("link", name="Try it live").click()
        expect(page.get_by_label("Question")).to_have_value(HOSTILE)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
        assert "\u202e" not in page.content()
        page.goto("about:blank")
