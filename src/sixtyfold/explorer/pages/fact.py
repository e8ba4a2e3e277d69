"""One fact: what is accepted, what every probe found template by template, every answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from nicegui import run, ui

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.visible_text import visible
from sixtyfold.explorer import one_fact
from sixtyfold.explorer.catalogue import Run
from sixtyfold.explorer.one_fact import Answer, Fact, Probed
from sixtyfold.explorer.pages.frame import Explorer, box, column, frame, named, pairs, problem
from sixtyfold.explorer.words import percent, when
from sixtyfold.workflows.console import DOMAIN_WORDS

_LONGEST = 2000
_ROWS = 25
_SURVIVAL = (
    "A draw is a path on which the accepted answers are forbidden; its probability is that of the "
    "answers it passed by, and the recall of a template is the mean of its draws."
)
_RIGHT = {True: "✓ right", False: "✗ wrong"}


async def build(explorer: Explorer, query: Mapping[str, str]) -> None:
    """Make the page.

    Args:
        explorer: what is shown.
        query: of the address: id of the fact; a, b, the runs it was found in.
    """
    fact_id = query.get("id", "")
    with frame(explorer, "One fact", ""):
        try:
            fact, probed, answers = await run.io_bound(_found, explorer, fact_id)
        except SixtyfoldError as error:
            problem(str(error))
            return
        if fact is None and not answers:
            problem(f"no fact here has the key {fact_id!r}; open one from the comparison")
            return
        _about(fact, fact_id, query)
        for each in probed:
            _probe(each)
        _answers(answers, [query.get("a"), query.get("b")])


def _found(explorer: Explorer, fact_id: str) -> tuple[Fact | None, list[Probed], list[Answer]]:
    """Return all that is shown, asked in a thread of its own."""
    catalogue, tables = explorer.catalogue, explorer.tables
    fact = one_fact.find_fact(catalogue, tables, fact_id)
    probed = [] if fact is None else one_fact.probed(catalogue, tables, fact)
    return fact, probed, one_fact.answers(catalogue, tables, fact_id)


def _about(fact: Fact | None, fact_id: str, query: Mapping[str, str]) -> None:
    runs = {name: query[name] for name in ("a", "b") if name in query}
    with box("The fact"):
        if fact is None:
            pairs([("key", fact_id)])
        else:
            row = fact.row
            pairs(
                [
                    ("question", row["question"]),
                    ("accepted", "; ".join(row["objects"])),
                    ("subject", row["subject"]),
                    ("relation", row["relation"]),
                    ("split, domain", f"{row['split']}, {DOMAIN_WORDS[row['domain']]}"),
                    ("flags", ", ".join(row["flags"]) or "none"),
                    ("key", fact_id),
                ]
            )
        with ui.element("div").classes("line"):
            if fact is not None:
                ui.link("Try it live", f"/ask?{urlencode({'id': fact_id, **runs})}")
            if len(runs) == 2:
                ui.link("Back to the comparison", f"/?{urlencode(runs)}")


def _probe(probed: Probed) -> None:
    row = probed.row
    with box(f"What {visible(probed.label)} knows"):
        levels = ", ".join(
            f"level {level} {percent(share)}" for level, share in enumerate(row["level_probs"])
        )
        bounds = [row.get(name) for name in ("recall_low", "recall_high")]
        interval = (
            f" (95% interval {bounds[0]:.3f} to {bounds[1]:.3f})" if None not in bounds else ""
        )
        pairs(
            [
                ("recall", f"{row['recall']:.3f}{interval}"),
                ("level", f"{row['level']}; {levels}"),
                ("measured by", probed.protocol),
            ]
        )
        if probed.templates:
            if row.get("estimator") == "survival":
                ui.label(_SURVIVAL).classes("soft")
            _templates(probed)


def _templates(probed: Probed) -> None:
    columns = [
        column("text", "Cloze prompt"),
        column("first_prob", "First-answer probability", sortable=True, kind="number"),
        column("recall", "Recall", sortable=True, kind="number"),
        column("draws", "Draws", sortable=True, kind="number"),
        column("hits", "Hits", kind="number"),
        column("values", "Probability of each draw"),
        column("example", "One draw"),
    ]
    rows = [
        {
            "id": row["template_id"],
            "text": visible(row["text"] or f"template {row['template_id']}", longest=_LONGEST),
            "first_prob": _number(row["first_prob"]),
            "recall": _number(row["recall_hat"]),
            "draws": row["draws"],
            "hits": "–" if row["hits"] is None else row["hits"],
            "values": ", ".join(f"{value:.3g}" for value in row["values"] or ()),
            "example": visible(row["example"], longest=_LONGEST),
        }
        for row in probed.templates
    ]
    ui.table(rows=rows, columns=columns, row_key="id").props(
        'hide-bottom binary-state-sort aria-label="Templates"'
    )


def _answers(answers: Sequence[Answer], shown: Sequence[str | None]) -> None:
    right = sum(bool(each.row["hit"]) for each in answers)
    with box("Answers through time"):
        if not answers:
            ui.label("no run here was asked this fact")
            return
        ui.label(f"right in {right} of {len(answers)} runs").classes("mono")
        columns = [
            column("run", "Run", sortable=True),
            column("right", "Judged", sortable=True, kind="word"),
            column("answer", "Answer"),
            column("f1", "F1", sortable=True, kind="number"),
            column("ended", "Ended by itself", sortable=True, kind="word"),
            column("recorded", "Recorded", sortable=True, kind="word"),
        ]
        rows = [
            {
                "id": each.run.name,
                "run": visible(_marked(each.run, shown), longest=_LONGEST),
                "right": _RIGHT[bool(each.row["hit"])],
                "answer": visible(each.row["answer"], longest=_LONGEST),
                "f1": _number(each.row["f1"]),
                "ended": "yes" if each.row["ended"] else "no",
                "recorded": when(each.run.recorded),
            }
            for each in answers
        ]
        paged_table(rows, columns, "Answers")


def paged_table(
    rows: Sequence[dict[str, Any]], columns: Sequence[dict[str, Any]], name: str
) -> None:
    """Show a table that is wholly in the browser, a page at a time where it is long."""
    table = ui.table(rows=list(rows), columns=list(columns), row_key="id", pagination=_ROWS)
    table.props(f'hide-bottom binary-state-sort aria-label="{name}"')
    pages = -(-len(rows) // _ROWS)
    if pages > 1:
        with ui.element("div").classes("line"):
            ui.select(
                {page: f"page {page} of {pages}" for page in range(1, pages + 1)},
                label="Page",
                value=1,
                on_change=lambda event: _turn(table, event.value),
            ).props("outlined dense").classes("narrow")


def _turn(table: ui.table, page: int) -> None:
    table.pagination = {**table.pagination, "page": page}


def _marked(each: Run, shown: Sequence[str | None]) -> str:
    marks = [mark for mark, name in zip("AB", shown, strict=True) if name == each.name]
    return f"{' '.join(marks)} ▸ {named(each)}" if marks else named(each)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
