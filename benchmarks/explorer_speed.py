"""How fast the explorer opens and filters a large store, in a real browser.

    python benchmarks/explorer_speed.py [--facts 100000] [--runs 5] [--rounds 5]

A made-up store of so many test facts and runs is written, served by `sixtyfold view`, and looked at
with Debian's chromium (Playwright). Printed in seconds, as median and slowest of the rounds:

  start    from the command to the line with its address
  first    from the address to the first rows and the chart, server and browser cold
  open     the same, another pair of runs, server and browser warm
  filter   from a click on a state to its rows
  text     from the last letter typed to its rows (300 ms of them wait for the next letter)
  turn     from a click on Next to the next rows
  sort     from a click on a heading to rows in that order
  fact     from the click on a question to its probes and answers
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / name) for name in ("", "explorer")]

from made_up_store import RUNS, MadeRun, build_store  # noqa: E402
from playwright.sync_api import BrowserContext, Page, expect  # noqa: E402
from serving import served, started_browser  # noqa: E402

expect.set_options(timeout=60_000)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    runs = [*RUNS[:1], *(made_run(number) for number in range(given.runs - 1))]
    with tempfile.TemporaryDirectory() as folder:
        store = build_store(Path(folder) / "store", -(-given.facts // 3), runs=tuple(runs))
        seconds = measured(store.root, given.rounds)
    print(f"{given.facts} facts, {given.runs} runs, {given.rounds} rounds; seconds")
    for name, taken in seconds.items():
        print(f"{name:<8}median {statistics.median(taken):6.2f}   slowest {max(taken):6.2f}")


def made_run(number: int) -> MadeRun:
    """Return a run that answers 2 to 8 of ten facts, by its number."""
    return MadeRun(f"{number + 0xC0:016x}", 2 + number % 7, size="60", seed=number)


def measured(store: Path, rounds: int) -> dict[str, list[float]]:
    """Return what every step took, by name and round; `start` and `first` once.

    Args:
        store: where it lies.
        rounds: how often.
    """
    taken: dict[str, list[float]] = defaultdict(list)
    begun = time.perf_counter()
    with served("--store", str(store)) as address, started_browser() as browser:
        taken["start"].append(time.perf_counter() - begun)
        page = _opened(browser)
        _time(taken["first"], lambda: _open(page, address))
        keys = sorted(each.stem for each in (store / "records").glob("*c?.json"))
        for number in range(rounds):
            pair = f"?a={keys[number % len(keys)]}&b={keys[(number + 1) % len(keys)]}"
            _time(taken["open"], lambda: _open(page, address + pair))  # noqa: B023 - called here
            _steps(page, taken)
    return taken


def _opened(browser: BrowserContext) -> Page:
    page = browser.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    return page


def _time(into: list[float], step: Callable[[], None]) -> None:
    begun = time.perf_counter()
    step()
    into.append(time.perf_counter() - begun)


def _open(page: Page, address: str) -> None:
    page.goto(address)
    expect(page.get_by_text("1–25 of")).to_be_visible()
    expect(page.locator(".chart svg").get_by_text("level 0")).to_be_visible()


def _steps(page: Page, taken: dict[str, list[float]]) -> None:
    """Filter, search, turn, sort and open, from an unfiltered first page."""
    page.get_by_role("combobox", name="State", exact=True).click()
    option = page.get_by_role("option", name="never")
    option.wait_for()

    def filtered() -> None:
        option.click()
        expect(page.locator(".q-table tbody tr").first).to_contain_text("never")

    def searched() -> None:
        page.get_by_label("Text in question or answers").press_sequentially("ubject 19")
        expect(page.locator(".q-table tbody tr").first).to_contain_text("Subject 19")

    def turned() -> None:
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_text("26–50 of")).to_be_visible()

    def ordered() -> None:
        page.get_by_role("columnheader", name="Question").click()
        expect(page.get_by_text("1–25 of")).to_be_visible()

    def opened() -> None:
        page.locator(".q-table tbody a").first.click()
        expect(page.get_by_text("Answers through time")).to_be_visible()

    _time(taken["filter"], filtered)
    page.keyboard.press("Escape")
    for name, step in (("text", searched), ("turn", turned), ("sort", ordered), ("fact", opened)):
        _time(taken[name], step)


if __name__ == "__main__":
    main()
