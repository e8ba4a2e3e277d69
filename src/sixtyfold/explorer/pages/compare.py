"""The first page: two runs side by side, filtered, a page of facts at a time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any
from urllib.parse import urlencode

from nicegui import run, ui

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.visible_text import visible
from sixtyfold.explorer.catalogue import Run
from sixtyfold.explorer.comparison import SORTS
from sixtyfold.explorer.pages.charts import StatesByLevel
from sixtyfold.explorer.pages.frame import Explorer, Pages, box, column, frame, named, problem
from sixtyfold.explorer.tables import Row
from sixtyfold.explorer.view import LISTED, PAGE_SIZES, Found, View, look, summary, view_of
from sixtyfold.explorer.words import STATES

_LONGEST = 200
_TEXTS = ("domain", "relation", "level", "question", "accepted", "answer_a", "answer_b")
_QUESTION = """
<q-td :props="props"><a :href="props.row.link">{{ props.value }}</a></q-td>
"""
_STATE = """
<q-td :props="props">
  <span :class="'state-' + props.row.state">{{ props.row.state_shown }}</span>
</q-td>
"""


def build(explorer: Explorer, query: Mapping[str, str]) -> None:
    """Make the page.

    Args:
        explorer: what is shown.
        query: of the address: a, b (runs), filters, sort.
    """
    with frame(explorer, "Two runs, fact by fact", "/"):
        pair = _pair(explorer, query)
        if pair is None:
            problem("there is only one run here, and nothing to compare it with")
            return
        _Comparison(explorer, view_of(pair, query))


def _pair(explorer: Explorer, query: Mapping[str, str]) -> tuple[Run, Run] | None:
    """Return the runs an address names, in the place of those it does not the first ones."""
    first = explorer.catalogue.first_pair()
    if first is None:
        return None
    runs = explorer.catalogue.runs
    return runs.get(query.get("a", ""), first[0]), runs.get(query.get("b", ""), first[1])


class _Comparison:
    """The elements of the page."""

    def __init__(self, explorer: Explorer, view: View) -> None:
        self.explorer = explorer
        self.view = view
        self.numbers = itertools.count()
        self.latest = -1
        self.offered: tuple[Run, Run] | None = None  # the pair whose values the lists hold
        # Asked now, while the browser fetches what the page is made of.
        self.early: tuple[View, Future[Found]] | None = (
            view,
            run.thread_pool.submit(look, explorer.comparisons, view),
        )
        self.make_choice()
        self.summary = ui.element("div").classes("box").props('aria-live="polite"')
        self.make_filters()
        self.make_table()
        ui.timer(0, self.show, once=True)

    def make_choice(self) -> None:
        """Make the two lists of runs."""
        runs = {each.name: visible(named(each)) for each in self.explorer.catalogue.in_order()}
        with ui.element("div").classes("line"):
            self.sides = [
                ui.select(
                    runs, label=label, value=side.name, with_input=True, on_change=self.choose
                )
                .props("outlined dense")
                .classes("wide")
                for label, side in zip(("Before (A)", "After (B)"), self.view.pair, strict=True)
            ]
            ui.button("Swap", on_click=self.swap).props("outline no-caps")

    def make_filters(self) -> None:
        """Make the filters; their choices come with the first rows."""
        with box("Filters"), ui.element("div").classes("line"):
            self.lists = {
                name: ui.select(
                    {},
                    label=name.capitalize(),
                    multiple=True,
                    clearable=True,
                    on_change=self.filter,
                )
                .props("outlined dense options-dense")
                .classes("middle")
                for name in LISTED
            }
            text = self.view.filters.text
            self.text = (
                ui.input("Text in question or answers", value=text, on_change=self.filter)
                .props("outlined dense clearable debounce=300")
                .classes("wide")
            )
        with box("Facts by level and by what became of them"):
            self.chart = StatesByLevel()

    def make_table(self) -> None:
        """Make the table with its page buttons."""
        columns = [
            column("state", "State", sortable=True, kind="word"),
            column("domain", "Domain", sortable=True, kind="word"),
            column("relation", "Relation", sortable=True),
            column("level", "Level", sortable=True, kind="word"),
            column("recall", "Recall", sortable=True, kind="number"),
            column("question", "Question", sortable=True),
            column("accepted", "Accepted"),
            column("answer_a", "Answer A"),
            column("answer_b", "Answer B"),
        ]
        with box("Facts"):
            self.table = ui.table(
                rows=[], columns=columns, row_key="fact_id", pagination=self.view.paging(0)
            ).props("hide-bottom binary-state-sort")
            self.table.add_slot("body-cell-question", _QUESTION)
            self.table.add_slot("body-cell-state", _STATE)
            self.table.on("request", self.sorted, ["pagination"])
            with ui.element("div").classes("line"):
                self.pages = Pages("facts", self.turn)
                # Headings sort too, but not from a keyboard.
                self.order = (
                    ui.select(
                        list(SORTS), label="Sorted by", value=self.view.sort, on_change=self.reorder
                    )
                    .props("outlined dense")
                    .classes("narrow")
                )
                self.descending = ui.checkbox(
                    "Descending", value=self.view.descending, on_change=self.turn_round
                )
                ui.select(
                    list(PAGE_SIZES), label="Rows", value=self.view.size, on_change=self.resize
                ).props("outlined dense").classes("narrow")

    async def choose(self) -> None:
        """Show other runs."""
        runs = self.explorer.catalogue.runs
        before, after = (runs.get(each.value) for each in self.sides)
        if before is not None and after is not None:
            await self.change(pair=(before, after))

    async def swap(self) -> None:
        """Let the runs change places."""
        after, before = self.view.pair
        self.sides[0].value, self.sides[1].value = before.name, after.name
        await self.choose()

    async def filter(self) -> None:
        """Show what the filters let through."""
        filters = self.view.filters._replace(text=str(self.text.value or ""))
        if self.offered == self.view.pair:
            chosen: dict[str, Any] = {
                name: tuple(each.value or ()) for name, each in self.lists.items()
            }
            filters = filters._replace(**chosen)
        await self.change(filters=filters)

    async def sorted(self, event: Any) -> None:
        """Show rows in another order."""
        asked = event.args["pagination"]
        sort = asked["sortBy"] if asked["sortBy"] in SORTS else "state"
        await self.change(sort=sort, descending=bool(asked["descending"]))

    async def reorder(self, event: Any) -> None:
        """Show rows in the order that was chosen in the list."""
        if event.value != self.view.sort:
            await self.change(sort=event.value, descending=False)

    async def turn_round(self, event: Any) -> None:
        """Show rows in the same order, from its other end."""
        await self.change(descending=bool(event.value))

    async def turn(self, pages: int) -> None:
        """Show the rows before or after."""
        await self.change(start=max(0, self.view.start + pages * self.view.size))

    async def resize(self, event: Any) -> None:
        """Show more or fewer rows at a time."""
        await self.change(size=int(event.value))

    async def change(self, **changed: Any) -> None:
        """Look at something else, from its first row on where no other is named."""
        view = self.view._replace(**{"start": 0, **changed})
        if view._replace(start=self.view.start) != self.view or "start" in changed:
            self.view = view
            await self.show()

    async def show(self) -> None:
        """Show what is looked at, unless something newer is looked at when it has been found."""
        number = self.latest = next(self.numbers)
        try:
            found = await self.found()
        except SixtyfoldError as error:
            self.complain(str(error))
            return
        if number == self.latest and found is not None:
            self.view = found.view
            self.offer(found.choices)
            self.fill(found)
            ui.navigate.history.replace(self.view.address())

    async def found(self) -> Found | None:
        """Return what the tables say to the view; None where the server is about to end."""
        early, self.early = self.early, None
        if early is not None and early[0] == self.view:
            return await asyncio.wrap_future(early[1])
        found: Found | None = await run.io_bound(look, self.explorer.comparisons, self.view)
        return found

    def complain(self, reason: str) -> None:
        """Show no rows, and why."""
        self.table.rows = []
        self.pages.show(0, self.view.size, 0)
        self.summary.clear()
        with self.summary:
            problem(reason)

    def offer(self, choices: Mapping[str, Sequence[str]]) -> None:
        """Offer the values there are where the runs are others, and mark the chosen ones."""
        if self.offered == self.view.pair:
            return
        for name, element in self.lists.items():
            shown = {each: visible(STATES.get(each, each)) for each in choices[name]}
            element.set_options(shown, value=list(getattr(self.view.filters, name)))
        self.offered = self.view.pair

    def fill(self, found: Found) -> None:
        """Put rows and numbers into the elements."""
        self.table.rows = [self.shown(row) for row in found.page.rows]
        self.table.pagination = self.view.paging(found.page.found)
        self.pages.show(self.view.start, self.view.size, found.page.found)
        self.order.set_value(self.view.sort)
        self.descending.set_value(self.view.descending)
        self.summary.clear()
        with self.summary:
            for line in summary(found):
                ui.label(line).classes("mono")
        self.chart.show(found.counts, self.view.filters)

    def shown(self, row: Row) -> Row:
        """Return a row of the table: visible text, and where its fact is."""
        texts = {name: visible(row[name], longest=_LONGEST) for name in _TEXTS}
        before, after = self.view.pair
        runs = {"id": row["fact_id"], "a": before.name, "b": after.name}
        return {
            "fact_id": row["fact_id"],
            **texts,
            "recall": None if row["recall"] is None else f"{row['recall']:.3f}",
            "state": row["state"],
            "state_shown": STATES[row["state"]],
            "link": f"/fact?{urlencode(runs)}",
        }
