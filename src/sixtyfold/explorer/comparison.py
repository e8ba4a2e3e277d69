"""Two runs side by side, fact by fact: which were kept, lost and gained, filtered and paged.

A pair of runs is joined once into a table of DuckDB and asked again and again.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.explorer.catalogue import Catalogue, Run
from sixtyfold.explorer.tables import Row, Tables, source
from sixtyfold.stages.compare.transitions import STATES

SORTS = ("state", "domain", "relation", "level", "recall", "question")
"""Columns that rows may be sorted by."""

_KEPT_PAIRS = 4
_FILTERED = ("state", "level", "relation", "domain")
_STATE = """case when a.hit and b.hit then 'kept' when a.hit then 'lost'
            when b.hit then 'gained' else 'never' end"""
_TEXTS = ("question", "accepted", "answer_a", "answer_b")


class Filters(NamedTuple):
    """Which facts are shown; an empty tuple or text lets all through.

    level: levels as text, `–` for facts without one.
    text: stands somewhere in the question, an accepted answer or an answer, in any case.
    """

    state: tuple[str, ...] = ()
    level: tuple[str, ...] = ()
    relation: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    text: str = ""


class Page(NamedTuple):
    """Some of the rows that filters let through.

    rows: fact_id, state, domain, relation, level, recall, question, accepted, answer_a, answer_b.
    found: how many there are in all.
    """

    rows: list[Row]
    found: int


class Comparisons:
    """Pairs of runs of a catalogue, the last few of them kept joined."""

    def __init__(self, catalogue: Catalogue, tables: Tables) -> None:
        self._catalogue = catalogue
        self._tables = tables
        self._joined: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def page(
        self,
        pair: tuple[Run, Run],
        filters: Filters,
        *,
        sort: str = "state",
        descending: bool = False,
        start: int = 0,
        count: int = 25,
    ) -> Page:
        """Return some of the facts that filters let through.

        Args:
            pair: the runs, before and after.
            filters: which facts.
            sort: one of `SORTS`; by state means lost first, then gained, kept, never.
            descending: sort the other way round.
            start: how many rows to leave out.
            count: most rows to return.

        Raises:
            BadInput: the runs answer no common fact, or `sort` is no column to sort by.
            Corrupted: a table is not readable.
        """
        if sort not in SORTS:
            raise BadInput(f"sort was given {sort!r}; allowed: {', '.join(SORTS)}")
        with self._lock:
            where, values = _where(filters)
            table = self._table(pair)
            order = "state_rank" if sort == "state" else sort
            direction = "desc" if descending else "asc"
            rows = self._tables.rows(
                f"select * exclude (state_rank) from {table} {where} "
                f"order by {order} {direction} nulls last, fact_id limit ? offset ?",
                [*values, count, start],
            )
            found = self._tables.rows(f"select count(*) as n from {table} {where}", values)
        return Page(rows, int(found[0]["n"]))

    def counts(self, pair: tuple[Run, Run], filters: Filters) -> pl.DataFrame:
        """Count facts by level and state, whatever states and levels the filters name.

        Returns:
            columns level (text), state, facts; raises what `page` raises.
        """
        where, values = _where(filters._replace(state=(), level=()))
        with self._lock:
            return self._tables.frame(
                f"select level, state, count(*) as facts from {self._table(pair)} {where} "
                "group by level, state order by level, state",
                values,
            )

    def by_relation(self, pair: tuple[Run, Run], filters: Filters) -> pl.DataFrame:
        """Count the facts that filters let through by domain, relation and state.

        Returns:
            columns domain, relation, kept, lost, gained, never; raises what `page` raises.
        """
        where, values = _where(filters)
        counts = ", ".join(f"count(*) filter (state = '{state}') as {state}" for state in STATES)
        with self._lock:
            return self._tables.frame(
                f"select domain, relation, {counts} from {self._table(pair)} {where} "
                "group by domain, relation order by domain, relation",
                values,
            )

    def choices(self, pair: tuple[Run, Run]) -> dict[str, list[str]]:
        """Return the values there are of every filter; raises what `page` raises."""
        with self._lock:
            table = self._table(pair)
            return {
                name: [
                    row["value"]
                    for row in self._tables.rows(
                        f'select distinct "{name}" as value from {table} order by 1'
                    )
                ]
                for name in _FILTERED
            }

    def _table(self, pair: tuple[Run, Run]) -> str:
        """Return the name of the table of a pair, made where it is not there."""
        key = (pair[0].name, pair[1].name)
        if key in self._joined:
            self._joined.move_to_end(key)
            return self._joined[key]
        if len(self._joined) >= _KEPT_PAIRS:
            _, oldest = self._joined.popitem(last=False)
            self._tables.execute(f"drop table {oldest}")
        name = f"pair_{next(self._numbers)}"
        query, values = self._query(pair)
        self._tables.execute(f"create table {name} as {query}", values)
        if not self._tables.rows(f"select 1 from {name} limit 1"):
            self._tables.execute(f"drop table {name}")
            raise BadInput(
                f"the runs {pair[0].label!r} and {pair[1].label!r} answer no common fact; "
                "choose two of one split and fact set"
            )
        self._joined[key] = name
        return name

    def _query(self, pair: tuple[Run, Run]) -> tuple[str, list[Any]]:
        """Return the query that joins two runs with their facts and probe."""
        sides, values = zip(*(answers_of(run) for run in pair), strict=True)
        facts = self._catalogue.facts.get(pair[0].facts or pair[1].facts or "")
        probe = self._catalogue.probes.get(pair[0].probe or pair[1].probe or "")
        asked, accepted = "a.prompt", "''"
        recall, level, joins = "null::double", "coalesce(a.level, b.level)", ""
        if facts is not None:
            joins += f" left join {source(facts.facts)} f using (fact_id)"
            asked, accepted = "coalesce(f.question, a.prompt)", "array_to_string(f.objects, '; ')"
        if probe is not None:
            joins += f" left join {source(probe.probe)} p using (fact_id)"
            recall, level = "p.recall", "coalesce(p.level, a.level, b.level)"
        query = f"""
            select fact_id, {_STATE} as state,
                   list_position(['lost', 'gained', 'kept', 'never'], state) as state_rank,
                   coalesce(a.domain, b.domain, 'in') as domain,
                   coalesce(a.relation, b.relation, 'all') as relation,
                   coalesce(({level})::varchar, '–') as level, {recall} as recall,
                   {asked} as question, coalesce({accepted}, '') as accepted,
                   coalesce(a.answer, '') as answer_a, coalesce(b.answer, '') as answer_b
            from ({sides[0]}) a join ({sides[1]}) b using (fact_id){joins}
        """
        return query, [*values[0], *values[1]]


def answers_of(run: Run) -> tuple[str, list[Any]]:
    """Return the query for the answers of a run, and its values."""
    if run.arm is None:
        return f"select * from {source(run.path)}", []
    return f"select * exclude (arm) from {source(run.path)} where arm = ?", [run.arm]


def _where(filters: Filters) -> tuple[str, list[Any]]:
    """Return the condition for filters, and its values."""
    conditions: list[str] = []
    values: list[Any] = []
    for name in _FILTERED:
        chosen = getattr(filters, name)
        if chosen:
            conditions.append(f'list_contains(?::varchar[], "{name}")')
            values.append(list(chosen))
    if filters.text:
        conditions.append(
            "(" + " or ".join(f"contains(lower({name}), lower(?))" for name in _TEXTS) + ")"
        )
        values += [filters.text] * len(_TEXTS)
    return ("where " + " and ".join(conditions) if conditions else ""), values
