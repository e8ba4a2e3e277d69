"""What a store holds of one study, read once for the report.

Only the store is read: neither the study file nor the models it names need to be there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.core.facts import read_table
from sixtyfold.study.any_store import Store, StoredTable
from sixtyfold.study.contrast_numbers import ACCURACY, averages
from sixtyfold.study.jobs import Job
from sixtyfold.study.results import telling

LABELS = ("model", "grid", "size", "levels", "options")
"""What tells ways of training apart."""

_FACT = ("fact_id", "domain", "relation", "level", "value")
_KEPT = 64


class Way(NamedTuple):
    """Trainings that differ in nothing but their seed.

    labels: `LABELS` to words; options hold what the cells do not share.
    jobs: role to seed to the key of the result; roles and seeds without a result are left out.
    examples: how many there were, mean over the seeds.
    dev: accuracy on dev (in-domain, mean over relations and seeds); None where there is none.
    untuned: key of the test answers of the untuned model, asked in the way that did best on dev.
    """

    labels: dict[str, str]
    jobs: dict[str, dict[int, str]]
    examples: float
    dev: float | None
    untuned: str | None

    @property
    def test(self) -> dict[int, str]:
        """Seed to key of the answers on test."""
        return self.jobs.get("test", {})


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
    ways = list(_ways(store, cells, numbers))
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


def _ways(store: Store, cells: pl.DataFrame, numbers: pl.DataFrame) -> Iterator[Way]:
    """Yield the ways that have answers on test, in order of model, grid, examples and levels."""
    trained = cells.filter(pl.col("chosen") & pl.col("size").is_not_null() & pl.col("done"))
    trained = _named(trained)
    examples = _means(numbers, (pl.col("measure") == "examples") & pl.col("part").is_null())
    dev = _means(
        numbers,
        (pl.col("measure") == "macro_relation") & (pl.col("domain") == "in")
        & (pl.col("split") == "dev") & pl.col("part").is_null(),
    )  # fmt: skip
    found = []
    for labels, rows in trained.group_by(*LABELS, maintain_order=True):
        jobs: dict[str, dict[int, str]] = defaultdict(dict)
        for role, seed, key in rows.select("role", "seed", "key").iter_rows():
            jobs[role][seed] = key
        if "test" not in jobs:
            continue
        count = _mean(examples, jobs.get("select", {}))
        words = {name: str(label or "") for name, label in zip(LABELS, labels, strict=True)}
        before = _untuned_of(store, jobs.get("compare", {}))
        size = count if count is not None else float(words["size"])
        found.append(Way(words, dict(jobs), size, _mean(dev, jobs.get("dev", {})), before))
    order = {name: place for place, name in enumerate(trained["grid"].unique(maintain_order=True))}
    yield from sorted(
        found,
        key=lambda way: (way.labels["model"], order[way.labels["grid"]], way.examples,
                         way.labels["levels"], way.labels["options"]),
    )  # fmt: skip


def _named(trained: pl.DataFrame) -> pl.DataFrame:
    """Put options as words; where a rate was not chosen but asked for, it is one of them."""
    rows = trained.with_columns(options=telling(trained["options"]))
    one = ("model", "grid", "size", "levels", "options", "seed", "role")
    several = pl.len().over(*one) > 1
    rate = pl.lit("learning rate ") + pl.col("learning_rate").cast(pl.String)
    asked = pl.when(several.any().over("grid")).then(rate).otherwise(pl.lit(""))
    both = pl.concat_str("options", asked, separator=", ").str.strip_chars(", ")
    return rows.with_columns(options=both)


def _means(numbers: pl.DataFrame, wanted: pl.Expr) -> dict[str, float]:
    rows = numbers.filter(wanted).select("key", "value").drop_nulls()
    return dict(rows.iter_rows())


def _mean(values: dict[str, float], keys: dict[int, str]) -> float | None:
    known = [values[key] for key in keys.values() if key in values]
    return sum(known) / len(known) if known else None


def _untuned_of(store: Store, compared: dict[int, str]) -> str | None:
    """Return the key of the answers that comparisons start from; they are the same in all seeds."""
    for key in compared.values():
        return str(store.record(key).reads["before"])
    return None
