"""A question tried on several models side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from nicegui import run, ui

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.matching import matcher
from sixtyfold.core.visible_text import visible
from sixtyfold.explorer import one_fact
from sixtyfold.explorer.live import LONGEST_QUESTION, Reply, Way
from sixtyfold.explorer.one_fact import Fact
from sixtyfold.explorer.pages.frame import Explorer, frame, problem, title
from sixtyfold.explorer.words import percent

_SHOTS = 4
_LONGEST = 4000
_WAYS = {"plain": "plain", "papers": "the papers' markers", "chat": "the model's chat template"}
_WITH_SHOTS = "shots"


async def build(explorer: Explorer, query: Mapping[str, str]) -> None:
    """Make the page.

    Args:
        explorer: what is shown.
        query: of the address: id of a fact to ask about; a, b, the runs whose models to ask.
    """
    with frame(explorer, "Try a question", "/ask"):
        fact = None
        if query.get("id"):
            try:
                fact = await run.io_bound(
                    one_fact.find_fact, explorer.catalogue, explorer.tables, query["id"]
                )
            except SixtyfoldError as error:
                problem(str(error))
        _Asking(explorer, fact, query)


class _Asking:
    """The form and the answers below it."""

    def __init__(self, explorer: Explorer, fact: Fact | None, query: Mapping[str, str]) -> None:
        self.explorer, self.fact = explorer, fact
        models = explorer.catalogue.models
        names = {
            name: visible(each.label + (" (not here)" if each.missing else ""))
            for name, each in models.items()
        }
        ways = dict(_WAYS)
        if fact is not None:
            ways[_WITH_SHOTS] = f"plain, {_SHOTS} worked examples of the fact's relation"
        self.question = (
            ui.textarea("Question", value=fact.row["question"] if fact else "")
            .props(f"outlined autogrow maxlength={LONGEST_QUESTION}")
            .classes("question")
        )
        with ui.element("div").classes("line"):
            self.models = (
                ui.select(names, label="Models", multiple=True, value=_chosen(explorer, query))
                .props("outlined dense use-chips")
                .classes("wide")
            )
            self.way = (
                ui.select(ways, label="Asked", value="plain")
                .props("outlined dense")
                .classes("middle")
            )
            self.button = ui.button("Ask", on_click=self.ask).props("outline no-caps")
        if fact is not None:
            accepted = visible("; ".join(fact.row["objects"]), longest=_LONGEST)
            ui.label(f"Accepted: {accepted}").classes("text")
        for line in _not_here(explorer):
            ui.label(line).classes("soft")
        self.answers = ui.element("div").classes("answers").props('aria-live="polite"')

    async def ask(self) -> None:
        """Ask every chosen model, one after the other, and show answers as they come."""
        question = str(self.question.value or "")
        self.answers.clear()
        chosen = list(self.models.value or ())
        if not question.strip() or not chosen:
            with self.answers:
                problem("write a question and choose at least one model")
            return
        self.button.disable()
        try:
            way = await self.how()
            boxes = [self.place(name) for name in chosen]
            asked = [self.explorer.live.ask(name, question, way) for name in chosen]
            for place, future in zip(boxes, asked, strict=True):
                self.show(place, await asyncio.wrap_future(future))
        except SixtyfoldError as error:
            with self.answers:
                problem(str(error))
        finally:
            self.button.enable()

    async def how(self) -> Way:
        """Return the way that is chosen; raises what `worked_examples` raises."""
        if self.way.value != _WITH_SHOTS or self.fact is None:
            return Way(form=self.way.value)
        catalogue, tables = self.explorer.catalogue, self.explorer.tables
        shots = await run.io_bound(one_fact.worked_examples, catalogue, tables, self.fact, _SHOTS)
        return Way(shots=tuple(shots))

    def place(self, name: str) -> Any:
        """Make the box of a model's answer."""
        with self.answers, ui.element("section").classes("box"):
            title(visible(self.explorer.catalogue.models[name].label), "h2")
            place = ui.element("div")
            with place:
                ui.label("waiting for the model …").classes("soft")
        return place

    def show(self, place: Any, reply: Reply) -> None:
        """Show a model's answer in its box."""
        place.clear()
        with place:
            if reply.problem is not None:
                problem(reply.problem)
                return
            answer = visible(reply.answer, longest=_LONGEST) or "(nothing)"
            ui.label(answer).classes("text answer")
            ui.label(self.judged(reply)).classes("soft")
            columns = [
                {"name": "token", "label": "First token", "field": "token", "align": "left"},
                {"name": "share", "label": "Probability", "field": "share", "align": "right"},
            ]
            rows = [
                {"id": rank, "token": visible(repr(token)), "share": percent(share)}
                for rank, (token, share) in enumerate(reply.first)
            ]
            ui.table(rows=rows, columns=columns, row_key="id").props(
                'hide-bottom dense flat aria-label="Most likely first tokens"'
            )

    def judged(self, reply: Reply) -> str:
        """Say whether an answer is right, where that is known, and how it ended."""
        words = ["ended by itself" if reply.ended else "cut at the longest answer"]
        if self.fact is not None:
            row = self.fact.row
            right = matcher("standard", row["objects"], row["subject"]).hit(reply.answer)
            words.insert(0, "✓ right" if right else "✗ wrong")
        return f"{', '.join(words)}; {reply.seconds:.1f} s"


def _chosen(explorer: Explorer, query: Mapping[str, str]) -> list[str]:
    """Return the models of the runs an address names, else of the first pair, if they are here."""
    catalogue = explorer.catalogue
    named = [
        catalogue.runs[query[name]] for name in ("a", "b") if query.get(name) in catalogue.runs
    ]
    return catalogue.models_of(named or catalogue.first_pair() or ())


def _not_here(explorer: Explorer) -> list[str]:
    """Return why some models cannot be asked, a line for each reason."""
    reasons: dict[str, int] = {}
    for each in explorer.catalogue.models.values():
        if each.missing is not None:
            reasons[each.missing] = reasons.get(each.missing, 0) + 1
    return [
        f"{count} {'model is' if count == 1 else 'models are'} not here: {visible(reason)}"
        for reason, count in reasons.items()
    ]
