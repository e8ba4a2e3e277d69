"""The report in headless Chromium: drawn, searchable, silent on the network, safe, accessible."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from made_up_run import HOSTILE, build_run
from made_up_study import Grid, build_study
from sixtyfold.reporting.run import run, write_report
from sixtyfold.reporting.spec import ReportSpec

CHROMIUM = "/usr/bin/chromium"
MARKS = "svg .mark-rect path, svg .mark-symbol path, svg .mark-rule line"
WIDTH = "() => document.documentElement.scrollWidth"
PAPER = "() => getComputedStyle(document.body).backgroundColor"
FORMULA = "=HYPERLINK(1)"
PATIENCE = 60_000
"""Milliseconds a page may take on a busy machine."""


class Opened(NamedTuple):
    """A page, what it wrote to the console, and what it asked for."""

    page: Page
    console: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose questions, answers, receipt and relations want to be more than text."""
    root = tmp_path_factory.mktemp("hostile") / "run"
    build_run(root, per_relation=20, hostile=HOSTILE)
    answers = root / "answers" / "tuned-test" / "answers.parquet"
    table = pl.read_parquet(answers)
    long = pl.Series(["m" * 1_000_000, FORMULA, *table["answer"][2:]])
    table.with_columns(answer=long).write_parquet(answers)
    return write_report(root)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    grid = Grid(sizes=(60, 960), levels=("natural", "0"), search=True, diff=True)
    root = build_study(folder / "store", facts=150, grid=grid, about=HOSTILE)
    return run(ReportSpec(store=str(root), out=folder / "study.html"))


@pytest.fixture(scope="module")
def opened(browser: Browser, hostile: Path) -> Iterator[Opened]:
    """The hostile report, watched from its first byte."""
    found = open_page(browser, hostile)
    yield found
    found.page.close()


def open_page(browser: Browser, path: Path, **options: Any) -> Opened:
    page = browser.new_page(**options)
    page.set_default_timeout(PATIENCE)
    found = Opened(page, [], [])

    def answer(route: Route) -> None:
        found.requests.append(route.request.url)
        if route.request.url == path.as_uri():
            route.continue_()
        else:
            route.abort()

    page.route("**/*", answer)
    page.on("console", lambda message: found.console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: found.console.append(f"error: {error}"))
    page.on("dialog", lambda dialog: found.console.append(f"dialog: {dialog.message}"))
    page.goto(path.as_uri())
    expect(page.locator("[data-chart]:not([data-drawn])")).to_have_count(0, timeout=PATIENCE)
    expect(page.locator("[data-table]:not([data-ready])")).to_have_count(0, timeout=PATIENCE)
    return found


def facts_table(page: Page) -> Locator:
    return page.locator("[data-table=facts]")


def choice(page: Page, column: str, table: str = "facts") -> Locator:
    return page.locator(f"[data-table={table}]").get_by_role("combobox", name=column, exact=True)


def info(page: Page, name: str = "facts") -> Locator:
    return page.locator(f"[data-table={name}] .dt-info")


def test_charts_are_drawn_and_nothing_leaves(opened: Opened, hostile: Path) -> None:
    page = opened.page
    boxes = page.locator("[data-chart]")
    assert boxes.count() == 9
    for box in boxes.all():
        assert box.locator(
            "svg .mark-rect path, svg .mark-symbol path, svg .mark-rule line"
        ).count(), box.get_attribute("data-chart")
    assert opened.requests == [hostile.as_uri()]
    assert opened.console == []


def test_search_filters_and_sorting(opened: Opened) -> None:
    page = opened.page
    expect(info(page)).to_have_text("Showing 1 to 25 of 60 entries")
    search = facts_table(page).get_by_role("searchbox")
    search.fill("Test SUBJECT 7?")
    expect(info(page)).to_have_text("Showing 1 to 6 of 6 entries (filtered from 60 total entries)")
    search.fill("nothing like this")
    expect(facts_table(page).get_by_text("No matching records found")).to_be_visible()
    search.fill("")
    choice(page, "relation").select_option("river")
    expect(info(page)).to_contain_text("of 20 entries")
    choice(page, "level").select_option("2")
    expect(info(page)).to_contain_text("of 4 entries")
    for name in ("relation", "level"):
        choice(page, name).select_option("")
    expect(info(page)).to_have_text("Showing 1 to 25 of 60 entries")
    head = facts_table(page).get_by_role("columnheader", name="recall")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    first = facts_table(page).locator("tbody tr").first.locator("td").nth(4)
    expect(first).to_have_text("0")
    page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    expect(first).to_have_text("1")
    page.keyboard.press("Enter")


def test_hostile_text_is_shown_as_text(opened: Opened) -> None:
    page = opened.page
    shown = page.locator("[data-table=facts] td bdi", has_text="alert(1)").first
    expect(shown).to_contain_text("</script><script>alert(1)</script><img src=x onerror=alert(2)>")
    expect(shown).to_contain_text("⟨U+202E⟩right to left⟨U+0000⟩⟨U+001B⟩[31m")
    assert page.locator("main img, main script").count() == 0
    text = page.locator("body").inner_text()
    assert not set(text) & set("\u202e\x00\x1b")
    long = page.locator("[data-table=facts] td", has_text="mmmm")
    search = facts_table(page).get_by_role("searchbox")
    search.fill("1000000 characters")
    expect(info(page)).to_contain_text("Showing 1 to 1 of 1")
    assert len(long.first.inner_text()) < 450
    search.fill("")
    expect(info(page)).to_have_text("Showing 1 to 25 of 60 entries")


def test_a_foreign_script_does_not_run(opened: Opened) -> None:
    page = opened.page
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.foreign = true";
        document.body.append(script);
        const holder = document.createElement("div");
        holder.innerHTML = "<img src='data:x' onerror='window.foreign = true'>";
        document.body.append(holder);
    }""")
    page.wait_for_timeout(200)
    assert page.evaluate("() => window.foreign") is None
    refused = [line for line in opened.console if "Content Security Policy" in line]
    assert len(refused) == 2  # the script, and what the picture would run
    opened.console.clear()


def test_rows_are_saved_as_csv_without_formulas(opened: Opened) -> None:
    page = opened.page
    search = facts_table(page).get_by_role("searchbox")
    search.fill("hyperlink(1)")
    expect(info(page)).to_contain_text("of 1 entry")
    with page.expect_download() as download:
        facts_table(page).get_by_role("button", name="Save these rows (CSV)").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["relation"] in {"capital", "currency", "river"}
    assert row["tuned"].endswith(FORMULA)
    assert not any(cell.startswith(("=", "+", "@")) for cell in row.values())
    search.fill("")


def test_no_cell_of_a_csv_is_a_formula(opened: Opened) -> None:
    written = {
        "=1+1": '"\'=1+1"',
        "  @SUM(1)": '"  \'@SUM(1)"',
        "\uff1d1": '"\'\uff1d1"',
        # where a semicolon, a tab or a line ends a cell
        "Euro; =HYPERLINK(1)": '"Euro; \'=HYPERLINK(1)"',
        "a\t+1": '"a\t\'+1"',
        "a\n-1": '"a\n\'-1"',
        "New York": "New York",
        "a-b=c": '"a-b=c"',
        'say "x"': '"say ""x"""',
        -0.5: "-0.5",
        None: "",
    }
    page = opened.page
    with page.expect_download() as download:
        rows = [[cell] for cell in written]
        page.evaluate("(rows) => sixtyfoldSaveCsv('one', ['x'], rows)", rows)
    text = download.value.path().read_bytes().decode("utf-8-sig")
    assert text == "\r\n".join(["x", *written.values()])


@pytest.mark.parametrize(
    ("kind", "start"), [("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"\xef\xbb\xbf")]
)
def test_a_figure_and_its_data_are_saved(opened: Opened, kind: str, start: bytes) -> None:
    page = opened.page
    tools = page.locator("[data-tools=update-map]")
    with page.expect_download() as download:
        tools.get_by_role("button", name=re.compile(f"^{kind}:")).click()
    assert download.value.suggested_filename == f"update-map.{kind.lower()}"
    assert download.value.path().read_bytes().startswith(start)


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found
            if each["impact"] in {"serious", "critical"}]  # fmt: skip


@pytest.mark.parametrize("which", ["hostile", "study"])
def test_accessible_in_light_and_dark(
    browser: Browser, request: pytest.FixtureRequest, which: str
) -> None:
    # The policy forbids the checker's script as any other.
    path = request.getfixturevalue(which)
    page = open_page(browser, path, color_scheme="light", bypass_csp=True).page
    light = page.evaluate(PAPER)
    assert serious(page) == []
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html.dark")).to_have_count(1)
    assert page.evaluate(PAPER) != light
    assert serious(page) == []
    page.close()


def test_readable_on_a_phone_and_by_keyboard(browser: Browser, hostile: Path) -> None:
    size = {"width": 380, "height": 700}
    page = open_page(browser, hostile, viewport=size).page
    assert page.evaluate(WIDTH) <= size["width"]
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    assert skip.evaluate("(link) => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.close()


def test_printed_in_the_dark_it_is_dark_on_light(browser: Browser, hostile: Path) -> None:
    page = open_page(browser, hostile, color_scheme="dark").page
    label = page.locator("[data-chart=by-relation] .role-axis-label text").first
    colour = "(element) => getComputedStyle(element).fill"
    assert max(rgb(label.evaluate(colour))) > 150
    page.emulate_media(media="print", color_scheme="dark")
    assert rgb(page.evaluate(PAPER)) == (255, 255, 255)
    assert max(rgb(label.evaluate(colour))) < 100
    assert max(rgb(page.evaluate("() => getComputedStyle(document.body).color"))) < 100
    drawing = page.locator("[data-chart=by-relation] svg").first
    background = "(element) => getComputedStyle(element).backgroundColor"
    assert drawing.evaluate(background) == "rgba(0, 0, 0, 0)"
    assert not page.locator(".tools").first.is_visible()
    page.close()


def rgb(colour: str) -> tuple[int, ...]:
    """The three numbers of a computed colour."""
    return tuple(int(number) for number in re.findall(r"\d+", colour)[:3])


def test_a_study_is_readable_on_a_phone(browser: Browser, study: Path) -> None:
    size = {"width": 380, "height": 700}
    page = open_page(browser, study, viewport=size).page
    assert page.evaluate(WIDTH) <= size["width"]
    page.close()


def test_a_legend_shows_what_is_the_null(opened: Opened) -> None:
    """The strokes of update and null are drawn, the null's dashed."""
    strokes = opened.page.locator(
        "[data-chart=concentration] .role-legend-symbol path"
    ).evaluate_all(
        "paths => paths.map((path) => [path.getAttribute('stroke'), "
        "path.getAttribute('stroke-dasharray')])"
    )
    assert [each for each in strokes if each[0] == "#888888"] == [
        ["#888888", "1,0"], ["#888888", "5,4"],
    ]  # fmt: skip


def test_the_study_is_drawn_and_searched(browser: Browser, study: Path) -> None:
    found = open_page(browser, study)
    page = found.page
    assert page.locator("[data-chart]").count() >= 8
    assert page.locator("[data-chart] svg").count() == page.locator("[data-chart]").count()
    expect(page.get_by_text("<script>alert(1)</script>").first).to_be_visible()
    expect(info(page, "trainings")).to_contain_text("of 8 entries")
    choice(page, "levels", "trainings").select_option("0")
    expect(info(page, "trainings")).to_contain_text("of 4 entries")
    numbers = page.locator("[data-table=numbers]")
    numbers.get_by_role("searchbox").fill("kl_top10")
    expect(info(page, "numbers")).to_contain_text("of 8 entries (filtered from")
    assert found.requests == [study.as_uri()]
    assert found.console == []
    page.close()
