"""A served explorer and a real browser, for tests and the benchmark."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import BrowserContext, Page, sync_playwright


class Watched:
    """A page of the browser, with what it complained about and what it asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error {error}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type} {message.text}")


@contextlib.contextmanager
def served(*arguments: str) -> Iterator[str]:
    """Run `sixtyfold view` on a free port; yield its address.

    Raises:
        RuntimeError: the server did not start; the message is what it said.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    command = [sys.executable, "-m", "sixtyfold", "view", *arguments, "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        if " at http" not in line:
            raise RuntimeError(f"the server did not start: {line} {process.stderr.read()}")
        try:
            yield line.split(" at ")[1].split()[0]
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def started_browser() -> Iterator[BrowserContext]:
    """Start Debian's chromium without a window; its pages share what they fetched.

    Raises:
        RuntimeError: there is none.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        raise RuntimeError("a browser is needed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_context()
        browser.close()
