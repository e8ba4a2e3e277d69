"""What all pages have in common: head, navigation, and the little building blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nicegui import ui

from sixtyfold.core.visible_text import visible
from sixtyfold.explorer.catalogue import Catalogue, Run
from sixtyfold.explorer.comparison import Comparisons
from sixtyfold.explorer.live import Live
from sixtyfold.explorer.tables import Tables

PLACES = {"/": "Compare", "/runs": "Runs", "/ask": "Ask"}
_CSS = Path(__file__).with_name("explorer.css").read_text(encoding="utf-8")


class Explorer(NamedTuple):
    """What pages show."""

    catalogue: Catalogue
    tables: Tables
    comparisons: Comparisons
    live: Live


@contextlib.contextmanager
def frame(explorer: Explorer, heading: str, here: str) -> Iterator[None]:
    """Put head and navigation around the elements made in a block.

    Args:
        explorer: what is shown.
        heading: of the page.
        here: the page's place in `PLACES`, or any other text.
    """
    ui.colors(primary="#0f5f95")
    ui.add_css(_CSS)
    ui.page_title(f"{heading} · sixtyfold")
    with ui.header().classes("bar"):
        with ui.element("nav").props('aria-label="Pages"').classes("line"):
            for place, name in PLACES.items():
                link = ui.link(name, place)
                if place == here:
                    link.props('aria-current="page"')
        ui.label(visible(explorer.catalogue.title)).classes("where")
    with ui.element("div").classes("stack") as main:
        ui.skip_link(target=main)
        title(heading)
        yield


def title(text: str, tag: str = "h1") -> None:
    """Show a heading."""
    heading = ui.element(tag)
    with heading:
        ui.label(text)


@contextlib.contextmanager
def box(heading: str) -> Iterator[None]:
    """Put a box with a heading around the elements made in a block."""
    section = ui.element("section").classes("box")
    section.props["aria-label"] = heading  # not parsed: it may be text of others
    with section:
        title(heading, "h2")
        yield


class Pages:
    """Buttons to go through rows a page at a time, and where one is."""

    def __init__(self, what: str, turn: Callable[[int], Awaitable[None]]) -> None:
        """Make the elements.

        Args:
            what: the rows are.
            turn: called with −1 or 1.
        """
        self.what = what
        self.where = ui.label("").props('role="status"').classes("mono")
        self.back = ui.button("Previous", on_click=lambda: turn(-1))
        self.forth = ui.button("Next", on_click=lambda: turn(1))
        for button in (self.back, self.forth):
            button.props("outline no-caps")

    def show(self, start: int, size: int, found: int) -> None:
        """Say which of the rows are shown, and where one can go from there."""
        last = min(start + size, found)
        self.where.set_text(f"{min(start + 1, last):,}–{last:,} of {found:,} {self.what}")
        self.back.set_enabled(start > 0)
        self.forth.set_enabled(last < found)


def pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Show names with their values; the values are text of others."""
    with ui.element("dl").classes("pairs"):
        for name, value in rows:
            with ui.element("dt"):
                ui.label(name)
            with ui.element("dd"):
                ui.label(visible(value, longest=4000))


def column(name: str, label: str, *, sortable: bool = False, kind: str = "text") -> dict[str, Any]:
    """Describe a column of a table.

    Args:
        name: key in the rows.
        label: heading.
        sortable: whether a click on the heading sorts.
        kind: `text`, `word` (never broken into lines) or `number` (nor that, and to the right).
    """
    described = {"name": name, "label": label, "field": name, "sortable": sortable}
    if kind == "text":
        return {**described, "align": "left", "classes": "words"}
    align = "right" if kind == "number" else "left"
    return {**described, "align": align, "classes": "short", "headerClasses": "short"}


def named(run: Run) -> str:
    """Return what a run is called among those of all studies."""
    return f"{run.group} · {run.label}" if run.group else run.label


def problem(text: str) -> None:
    """Say in one line what is wrong."""
    ui.label(visible(text, longest=2000)).classes("problem text").props('role="alert"')
