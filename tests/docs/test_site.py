"""The documentation as a site: built strictly, whole, and asking no other machine for anything."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fenced import ROOT
from markdown_it import MarkdownIt

pytestmark = pytest.mark.long

CHROMIUM = "/usr/bin/chromium"
#: Attributes by which a page makes the browser fetch something.
_FETCHED = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src",
    "audio": "src", "link": "href", "object": "data", "embed": "src",
}  # fmt: skip
#: Links that name a page and fetch nothing.
_ONLY_NAMED = {"canonical", "next", "prev", "alternate"}
_COUNTED = ("li", "table", "tr", "h2", "h3", "pre")


class Page(HTMLParser):
    """What a page fetches, and how many elements its text holds."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.counts = dict.fromkeys(_COUNTED, 0)
        self._inside = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        named = set((values.get("rel") or "").split()) & _ONLY_NAMED
        if (found := values.get(_FETCHED.get(tag, ""))) and not named:
            self.fetched.append(found)
        if tag == "article":
            self._inside += 1
        elif self._inside and tag in self.counts:
            self.counts[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        self._inside -= tag == "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    serve = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if path.name != "404.html")


def test_every_page_of_the_docs_is_there(site: Path) -> None:
    written = [
        path.relative_to(ROOT / "docs").with_suffix("")
        for path in (ROOT / "docs").rglob("*.md")
        if "agreement" not in path.parts
    ]
    assert len(written) > 30
    for name in written:
        folder = name.parent if name.name in {"index", "README"} else name
        assert (site / folder / "index.html").is_file(), name
    for made in ("reference/commands", "examples/first_steps", "examples"):
        assert (site / made / "index.html").is_file(), made


def test_no_page_names_something_to_fetch_elsewhere(site: Path) -> None:
    for path in pages(site):
        page = Page(path.read_text(encoding="utf-8"))
        assert page.fetched
        elsewhere = [each for each in page.fetched if re.match(r"(https?:)?//", each)]
        assert elsewhere == [], path
    for sheet in site.rglob("*.css"):
        found = re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//\S+", sheet.read_text("utf-8"))
        assert found == [], sheet


def test_lists_and_tables_come_out_as_elsewhere(site: Path) -> None:
    """Markdown is read by other rules here than where the repository is browsed."""
    markdown = MarkdownIt("commonmark").enable("table")
    different = []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        if "\n::: " in text or "agreement" in path.parts:
            continue
        name = path.relative_to(ROOT / "docs").with_suffix("")
        folder = name.parent if name.name in {"index", "README"} else name
        built = Page((site / folder / "index.html").read_text(encoding="utf-8"))
        plain = Page(f"<article>{markdown.render(text)}</article>")
        if built.counts != plain.counts:
            different.append((str(name), built.counts, plain.counts))
    assert different == []


def test_screen_readers_find_no_serious_fault(site: Path, address: str) -> None:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    looked_at = ["", "start/", "reference/commands/"]
    looked_at += [
        f"{path.parent.relative_to(site)}/"
        for folder in ("guides", "explained")
        for path in sorted((site / folder).rglob("index.html"))
    ]
    assert len(looked_at) > 10
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        for name in looked_at:
            page.goto(address + name)
            faults = Axe().run(page).response["violations"]
            serious = [each["id"] for each in faults if each["impact"] in {"serious", "critical"}]
            assert serious == [], name
        browser.close()


def test_it_works_in_a_browser_and_stays_there(site: Path, address: str) -> None:
    from playwright.sync_api import sync_playwright

    asked: list[str] = []
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        for path in pages(site):
            page.goto(address + str(path.parent.relative_to(site)) + "/", wait_until="load")
            broken = page.evaluate(
                "[...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src)"
            )
            assert broken == []
        page.goto(address)
        page.locator("[data-md-component=search-query]").fill("remaining norm")
        first = page.locator(".md-search-result__link").first
        first.wait_for(state="visible")
        assert page.locator(".md-search-result__link").count() >= 3
        browser.close()
    assert len(asked) > 100
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert said == []
