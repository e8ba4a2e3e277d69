"""What a store holds of one study, read once for the report.

Only the store is read: neither the study file nor the models it names need to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import read_table
from sixtyfold.reporting.study_ways import LABELS, Way, read_ways
from sixtyfold.study.any_store import Store, StoredTable
from sixtyfold.study.contrast_numbers import ACCURACY, averages
from sixtyfold.study.jobs import Job

_FACT = ("fact_id", "domain", "relation", "level", "value")
_KEPT = 64


class StudyResults(NamedTuple):
    """The numbers and trainings of a study.

    definition: what the study file said when it was last run; None in old stores.
    cells: one row per cell and role, with `done`.
    numbers: cells joined with every number, one row each.
    ways: those with an answer on test, smallest first.
    accuracies: of every way: `LABELS`, examples, seeds and the columns of `Average`.
    gains: the same of the difference to the untuned model.
    untuned: accuracies of the untuned models, columns model and those of `Average`.
    """

    name: str
    store: Store
    definition: dict[str, Any] | None
    cells: pl.DataFrame
    numbers: pl.DataFrame
    ways: list[Way]
    accuracies: pl.DataFrame
    gains: pl.DataFrame
    untuned: pl.DataFrame
    answers: Callable[[str], pl.DataFrame]
    """Key of test answers to fact_id, domain, relation, level, value."""

    def compared(self, after: Way, before: Way) -> list[dict[str, Any]]:
        """Return how two ways differ, over the seeds both have; no row without a shared seed."""
        seeds = sorted(after.test.keys() & before.test.keys())
        if not seeds:
            return []
        sides = [[self.answers(way.test[seed]) for seed in seeds] for way in (after, before)]
        return [each._asdict() for each in averages(sides[0], sides[1], ACCURACY)]


def by_way(table: pl.DataFrame) -> dict[tuple[str, ...], dict[str, dict[str, Any]]]:
    """Return the rows of `accuracies` or `gains` by `LABELS` and domain, then by what they are of.

    That is `relations`, `levels` and `facts` for the averages, and `level 0` to `level 4`.
    """
    found: dict[tuple[str, ...], dict[str, dict[str, Any]]] = {}
    for row in table.to_dicts():
        key = (*(row[name] for name in LABELS), row["domain"])
        found.setdefault(key, {})[row["part"] or row["over"]] = row
    return found


def study_named(store: Store, name: str | None) -> str:
    """Return which study of a store is meant.

    Raises:
        BadInput: there is none of that name, none at all, or several and no name was given.
    """
    names = sorted({path.parent.name for path in store.cells_files()})
    if not names:
        raise BadInput(f"the store {store.url} holds no study; 'sixtyfold study run' makes one")
    if name is None and len(names) == 1:
        return names[0]
    if name is None:
        raise BadInput(
            f"the store {store.url} holds {len(names)} studies; name one with --study: "
            f"{', '.join(names)}"
        )
    if name not in names:
        raise BadInput(
            f"--study {name} was given{suggestion(name, names)}; studies of the store {store.url}: "
            f"{', '.join(names)}"
        )
    return name


def read_study_results(store: Store, name: str) -> StudyResults:
    """Read what a store holds of a study.

    Raises:
        BadInput: no training has an answer on test yet.
        Corrupted: a table of the store is not readable.
    """
    (path,) = [path for path in store.cells_files() if path.parent.name == name]
    cells = read_table(path)
    cells = cells.with_columns(done=pl.col("key").is_in(list(store.recorded())))
    jobs = {key: Job(key, stage, {}, {}) for key, stage in cells.select("key", "stage").iter_rows()}
    numbers = cells.join(store.numbers(jobs.values()), on="key", how="inner")
    ways = list(read_ways(store, cells, numbers))
    if not ways:
        raise BadInput(
            f"no training of the study {name} has answers on test yet; 'sixtyfold study run' and "
            "'sixtyfold study status' say what is left"
        )

    @lru_cache(maxsize=_KEPT)
    def answers(key: str) -> pl.DataFrame:
        table = store.table(StoredTable("answers", "evaluate", key))
        return (
            table.with_columns(value=pl.col("hit").cast(pl.Float64)).select(_FACT).sort("fact_id")
        )

    own, gained = _measured(ways, answers)
    return StudyResults(
        name,
        store,
        store.definitions().get(name),
        cells,
        numbers,
        ways,
        own,
        gained,
        _untuned(ways, answers),
        answers,
    )


def _measured(
    ways: Sequence[Way], answers: Callable[[str], pl.DataFrame]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the accuracies of all ways, and their differences to the untuned models."""
    own: list[dict[str, Any]] = []
    gained: list[dict[str, Any]] = []
    for way in ways:
        tables = [answers(key) for _, key in sorted(way.test.items())]
        labels = {**way.labels, "examples": way.examples, "seeds": len(tables)}
        own += [{**labels, **row._asdict()} for row in averages(tables, None, ACCURACY)]
        if way.untuned is not None:
            before = [answers(way.untuned)] * len(tables)
            gained += [{**labels, **row._asdict()} for row in averages(tables, before, ACCURACY)]
    return _table(own), _table(gained)


def _table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, infer_schema_length=None)


def _untuned(ways: Sequence[Way], answers: Callable[[str], pl.DataFrame]) -> pl.DataFrame:
    keys = {way.labels["model"]: way.untuned for way in ways if way.untuned is not None}
    rows = [
        {"model": model, **row._asdict()}
        for model, key in keys.items()
        for row in averages([answers(key)], None, ACCURACY)
    ]
    return _table(rows)
