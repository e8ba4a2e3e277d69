"""All runs with their accuracy, to choose two of them from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from nicegui import run, ui

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.statistics import Estimate
from sixtyfold.core.visible_text import visible
from sixtyfold.explorer.catalogue import Run
from sixtyfold.explorer.figures import Scored, scored
from sixtyfold.explorer.pages.frame import Explorer, Pages, column, frame, named, problem
from sixtyfold.explorer.words import percent, when

_ROWS = 25
_LINK = """
<q-td :props="props"><a v-if="props.row.link" :href="props.row.link">{{ props.value }}</a></q-td>
"""


def build(explorer: Explorer, query: Mapping[str, str]) -> None:
    """Make the page.

    Args:
        explorer: what is shown.
        query: of the address: text that the names of runs must hold.
    """
    with frame(explorer, "All runs", "/runs"):
        _Runs(explorer, query.get("text", ""))


class _Runs:
    """The table of runs, of which only those that are shown are scored."""

    def __init__(self, explorer: Explorer, text: str) -> None:
        self.explorer = explorer
        self.start = 0
        self.scored: dict[str, Scored] = {}
        with ui.element("div").classes("line"):
            self.text = (
                ui.input("Words in the name of a run", value=text, on_change=self.filter)
                .props("outlined dense clearable debounce=300")
                .classes("wide")
            )
        self.complaints = ui.element("div")
        columns = [
            column("run", "Run"),
            column("split", "Split", kind="word"),
            column("facts", "Facts", kind="number"),
            column("in", "Accuracy in-domain (95% interval)"),
            column("out", "Out-of-domain"),
            column("recorded", "Recorded", kind="word"),
            column("compared", "Compare", kind="word"),
        ]
        self.table = ui.table(rows=[], columns=columns, row_key="id")
        self.table.props('hide-bottom aria-label="Runs"')
        self.table.add_slot("body-cell-compared", _LINK)
        with ui.element("div").classes("line"):
            self.pages = Pages("runs", self.turn)
        ui.label(
            "Accuracy is the mean over relations. It is not comparable between fact sets."
        ).classes("soft")
        for note in explorer.catalogue.notes:
            problem(f"left out: {note}")
        ui.timer(0, self.show, once=True)

    async def filter(self) -> None:
        """Show the runs whose names hold the words."""
        self.start = 0
        await self.show()

    async def turn(self, pages: int) -> None:
        """Show the runs before or after."""
        self.start = max(0, self.start + pages * _ROWS)
        await self.show()

    async def show(self) -> None:
        """Score the runs of this page and show them."""
        words = str(self.text.value or "").lower().split()
        runs = self.explorer.catalogue.in_order()
        found = [each for each in runs if all(word in named(each).lower() for word in words)]
        page = found[self.start : self.start + _ROWS]
        self.complaints.clear()
        try:
            await run.io_bound(self.score, page)
        except SixtyfoldError as error:
            with self.complaints:
                problem(str(error))
        self.table.rows = [self.shown(each) for each in page]
        self.pages.show(self.start, _ROWS, len(found))

    def score(self, runs: list[Run]) -> None:
        """Score runs that were not scored before."""
        for each in runs:
            if each.name not in self.scored:
                self.scored[each.name] = scored(self.explorer.tables, each)

    def shown(self, each: Run) -> dict[str, Any]:
        """Return a row of the table."""
        found = self.scored.get(each.name, Scored(0, {}))
        first = self.explorer.catalogue.base_of(each)
        link = f"/?{urlencode({'a': first.name, 'b': each.name})}" if first else None
        return {
            "id": each.name,
            "run": visible(named(each)),
            "split": each.split,
            "facts": f"{found.facts:,}",
            "in": _interval(found.by_domain.get("in")),
            "out": _interval(found.by_domain.get("out")),
            "recorded": when(each.recorded),
            "compared": "with its base",
            "link": link,
        }


def _interval(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{percent(estimate.value)} ({percent(estimate.low)} to {percent(estimate.high)})"
