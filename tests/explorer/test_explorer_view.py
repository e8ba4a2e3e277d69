"""What an address of the comparison says, and what is said of what is found."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from made_up_store import RUNS

from sixtyfold.explorer.catalogue import Catalogue, Run
from sixtyfold.explorer.comparison import Comparisons, Filters
from sixtyfold.explorer.of_store import catalogue_of_store
from sixtyfold.explorer.tables import Tables
from sixtyfold.explorer.view import View, look, summary, view_of
from sixtyfold.study.store import LocalStore

pytest_plugins = ("explorer_fixtures",)


@pytest.fixture(scope="module")
def catalogue(store: Path) -> Catalogue:
    return catalogue_of_store(LocalStore(store, make=False))


@pytest.fixture
def comparisons(catalogue: Catalogue) -> Comparisons:
    return Comparisons(catalogue, Tables())


@pytest.fixture
def pair(catalogue: Catalogue) -> tuple[Run, Run]:
    return catalogue.runs[RUNS[0].key], catalogue.runs[RUNS[1].key]


@pytest.mark.parametrize(
    ("filters", "sort", "descending"),
    [
        (Filters(), "state", False),
        (Filters(state=("lost", "kept"), text="a&b=c #?"), "recall", True),
        (Filters(level=("–", "4"), relation=("a,b", "c d", "<e>"), domain=("in",)), "level", False),
    ],
)
def test_an_address_leads_back(
    pair: tuple[Run, Run], filters: Filters, sort: str, descending: bool
) -> None:
    view = View(pair, filters, sort, descending)
    query = dict(parse_qsl(urlsplit(view.address()).query))
    assert view_of(pair, query) == view
    assert (query["a"], query["b"]) == (pair[0].name, pair[1].name)


def test_an_address_of_nonsense_shows_what_there_is(
    comparisons: Comparisons, pair: tuple[Run, Run]
) -> None:
    query = {"sort": "1; drop table", "descending": "x", "level": "9\x1f4", "relation": "none"}
    found = look(comparisons, view_of(pair, query))
    assert found.view == View(pair, Filters(level=("4",)))
    assert found.page.found == 12


def test_differences_are_said_of_facts_not_chosen_by_their_answers(
    comparisons: Comparisons, pair: tuple[Run, Run]
) -> None:
    def said(filters: Filters) -> list[str]:
        return summary(look(comparisons, View(pair, filters)))

    whole = said(Filters())
    assert whole[0].startswith("in-domain, 40 facts, mean over relations: A 40.0%, B 60.0%; B − A")
    assert whole[1].startswith("out-of-domain, 20 facts, mean over relations: A 40.0%, B 60.0%")
    # of the facts of level 4 in domain, half are gained and half never known
    assert said(Filters(level=("4",)))[0].startswith("in-domain, 8 facts, mean over relations: A")
    chosen = ["these facts were chosen by their answers; differences over them mean nothing"]
    assert said(Filters(state=("gained",))) == chosen
    assert said(Filters(text="subject 1")) == chosen
    assert said(Filters(text="nobody")) == ["no fact passes the filters"]
