"""Take the pictures of the reports that docs/report.md shows.

    make run
    python docs/pictures/report.py --run runs/quickstart --store runs/planted-store --study planted

Needs Debian's chromium. Without --store the pictures of a study stay as they are.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from sixtyfold.reporting.run import run
from sixtyfold.reporting.spec import ReportSpec

HERE = Path(__file__).parent
SIZE = {"width": 1240, "height": 960}
OF_A_RUN = ("happened", "facts", "next")
OF_A_STUDY = ("sizes", "levels")


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("--store")
    parser.add_argument("--study")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        out = Path(folder) / "report.html"
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = opened(browser, run(ReportSpec(run=given.run, out=out)), "light")
        page.screenshot(path=HERE / "report_run.png")
        for name in OF_A_RUN:
            picture(page, name, f"report_run_{name}.png")
        if given.store is not None:
            spec = ReportSpec(store=given.store, study=given.study, out=out)
            page = opened(browser, run(spec), "dark")
            for name in OF_A_STUDY:
                picture(page, name, f"report_study_{name}.png")
        browser.close()


def opened(browser: Browser, path: Path, scheme: str) -> Page:
    """Open a report and wait until everything on it is drawn."""
    page = browser.new_page(viewport=SIZE, color_scheme=scheme)
    page.goto(path.as_uri())
    for waiting in ("[data-chart]:not([data-drawn])", "[data-table]:not([data-ready])"):
        expect(page.locator(waiting)).to_have_count(0, timeout=120_000)
    return page


def picture(page: Page, section: str, name: str) -> None:
    """Take a section from its title, as much as one screen holds."""
    page.locator(f"#{section}").scroll_into_view_if_needed()
    page.evaluate(
        "(id) => document.getElementById(id).scrollIntoView({behavior: 'instant'})", section
    )
    page.wait_for_timeout(300)
    page.screenshot(path=HERE / name)


if __name__ == "__main__":
    main()
