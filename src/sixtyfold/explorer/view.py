"""What the comparison looks at, as an address says it, and what the tables say to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import polars as pl

from sixtyfold.explorer.catalogue import Run
from sixtyfold.explorer.comparison import SORTS, Comparisons, Filters, Page
from sixtyfold.explorer.figures import Both, both_sides
from sixtyfold.explorer.words import percent
from sixtyfold.workflows.console import DOMAIN_WORDS, signed

PAGE_SIZES = (25, 50, 100)
LISTED = ("state", "level", "relation", "domain")
"""Filters that are lists of values."""

_BETWEEN = "\x1f"  # between values of one filter in an address


class View(NamedTuple):
    """What is looked at: everything an answer of the tables depends on."""

    pair: tuple[Run, Run]
    filters: Filters
    sort: str = "state"
    descending: bool = False
    start: int = 0
    size: int = PAGE_SIZES[0]

    def address(self) -> str:
        """Return the address that leads here again."""
        values = {"a": self.pair[0].name, "b": self.pair[1].name, "text": self.filters.text}
        values |= {name: _BETWEEN.join(getattr(self.filters, name)) for name in LISTED}
        values |= {"sort": self.sort, "descending": "1" if self.descending else ""}
        return "/?" + urlencode({name: value for name, value in values.items() if value})

    def paging(self, found: int) -> dict[str, Any]:
        """Return what the table is told of its pages; with `rowsNumber` it leaves them to us."""
        return {
            "page": self.start // self.size + 1,
            "rowsPerPage": self.size,
            "rowsNumber": found,
            "sortBy": self.sort,
            "descending": self.descending,
        }


class Found(NamedTuple):
    """What the tables say to a view; its filters name only what there is.

    both: how the runs differ over the facts that pass; None where these were chosen by their
        answers, over which no difference means anything.
    """

    view: View
    page: Page
    counts: pl.DataFrame
    both: list[Both] | None
    choices: dict[str, list[str]]


def view_of(pair: tuple[Run, Run], query: Mapping[str, str]) -> View:
    """Return the view that an address asks for."""
    listed = {name: query.get(name, "").split(_BETWEEN) for name in LISTED}
    chosen: dict[str, Any] = {name: tuple(filter(None, values)) for name, values in listed.items()}
    sort = query.get("sort", "")
    return View(
        pair,
        Filters(**chosen, text=query.get("text", "")),
        sort if sort in SORTS else "state",
        query.get("descending") == "1",
    )


def look(comparisons: Comparisons, view: View) -> Found:
    """Ask the tables."""
    choices = comparisons.choices(view.pair)
    kept: dict[str, Any] = {
        name: tuple(each for each in getattr(view.filters, name) if each in choices[name])
        for name in LISTED
    }
    view = view._replace(filters=view.filters._replace(**kept))
    page = comparisons.page(
        view.pair,
        view.filters,
        sort=view.sort,
        descending=view.descending,
        start=view.start,
        count=view.size,
    )
    counts = comparisons.counts(view.pair, view.filters)
    both = None
    if not (view.filters.state or view.filters.text):
        both = both_sides(comparisons.by_relation(view.pair, view.filters))
    return Found(view, page, counts, both, choices)


def summary(found: Found) -> list[str]:
    """Say how the runs differ over the facts that pass the filters, a line a domain."""
    if not found.page.found:
        return ["no fact passes the filters"]
    if found.both is None:
        return ["these facts were chosen by their answers; differences over them mean nothing"]
    return [_sentence(each) for each in found.both]


def _sentence(both: Both) -> str:
    """Say how the runs differ in one domain."""
    head = f"{DOMAIN_WORDS[both.domain]}, {both.facts:,} facts, mean over relations: "
    sides = [percent(each.value if each else None) for each in (both.before, both.after)]
    if both.difference is None:
        return f"{head}A {sides[0]}, B {sides[1]}"
    value, low, high = (signed(number) for number in both.difference[:3])
    return f"{head}A {sides[0]}, B {sides[1]}; B − A {value} points (95% interval {low} to {high})"
