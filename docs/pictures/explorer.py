"""Take the pictures of the explorer that docs/explorer.md shows.

    make run
    python docs/pictures/explorer.py --run runs/quickstart

Needs Debian's chromium. The live answers load the models of the run, one after the other.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "explorer"))

from playwright.sync_api import Page, expect  # noqa: E402
from serving import served, started_browser  # noqa: E402

HERE = Path(__file__).parent
QUESTION = "Which language is an official language of Haiti?"


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="runs/quickstart")
    given = parser.parse_args()
    expect.set_options(timeout=60_000)
    with served("--run", given.run) as address, started_browser() as browser:
        page = browser.new_page()
        page.set_viewport_size({"width": 1240, "height": 960})
        compared(page, address)
        opened(page)
        asked(page)


def compared(page: Page, address: str) -> None:
    """The comparison, lost facts first."""
    page.goto(address)
    expect(page.get_by_text("1–25 of")).to_be_visible()
    expect(page.locator(".chart svg").get_by_text("level 0")).to_be_visible()
    page.screenshot(path=HERE / "explorer_compare.png")


def opened(page: Page) -> None:
    """One fact with its probe and answers."""
    page.get_by_label("Text in question or answers").fill(QUESTION)
    expect(page.get_by_text("1–1 of 1 facts")).to_be_visible()
    page.get_by_role("link", name=QUESTION).click()
    expect(page.get_by_text("Answers through time")).to_be_visible()
    page.screenshot(path=HERE / "explorer_fact.png", full_page=True)


def asked(page: Page) -> None:
    """The same question, put to base, tuned and restored."""
    page.get_by_role("link", name="Try it live").click()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".answers .answer")).to_have_count(3, timeout=600_000)
    page.screenshot(path=HERE / "explorer_ask.png", full_page=True)


if __name__ == "__main__":
    main()
