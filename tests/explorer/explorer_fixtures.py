"""Fixtures: a served explorer and a real browser; without Debian's chromium tests fail.

No conftest.py: two of that name cannot both be collected for doctests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_store import build_store
from playwright.sync_api import BrowserContext, expect
from serving import Watched, served, started_browser

expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up store of five runs over 60 test facts."""
    return build_store(tmp_path_factory.mktemp("made-up") / "store").root


@pytest.fixture(scope="session")
def address(store: Path) -> Iterator[str]:
    """The made-up store, served."""
    with served("--store", str(store)) as found:
        yield found


@pytest.fixture(scope="module")  # while it runs, no other module can drive one
def browser() -> Iterator[BrowserContext]:
    """Debian's chromium, without a window."""
    with started_browser() as found:
        yield found


@pytest.fixture
def watched(browser: BrowserContext) -> Iterator[Watched]:
    """A fresh page; what it complains about fails the test in the end."""
    page = browser.new_page()
    page.set_viewport_size({"width": 1280, "height": 900})
    page.set_default_timeout(30_000)
    found = Watched(page)
    yield found
    page.close()
    assert found.complaints == []
