"""A catalogue of a study store: its runs are told by the cells of its studies."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import Corrupted, IncompleteInput
from sixtyfold.core.facts import read_table
from sixtyfold.core.models import ModelOptions
from sixtyfold.explorer.catalogue import BASE, Askable, Catalogue, FactSet, Probe, Run
from sixtyfold.explorer.of_run import model_options
from sixtyfold.explorer.words import asked_how, cell_label, protocol_of
from sixtyfold.study.any_store import Store, StoredTable
from sixtyfold.study.columns import CELLS_SCHEMA
from sixtyfold.study.jobs import Job
from sixtyfold.study.records import Record

_NAMES = {"answers", "test_answers", "facts", "templates", "probe", "probe_prompts", "transitions"}
_NO_STUDY = "of no study"
_COLUMNS = ("model", "grid", "size", "levels", "learning_rate", "seed")
_NOT_KEPT = (
    "weights of repairs that a search tried are not kept; 'sixtyfold restore' writes them, "
    "and --model NAME=DIR offers them here"
)
_REMOVED = (
    "its weights were removed when the study was done; 'keep_checkpoints: true' in its file "
    "and 'sixtyfold study run' make and keep them"
)


def catalogue_of_store(store: Store) -> Catalogue:
    """Return what a store holds.

    Raises:
        IncompleteInput: it holds no answers yet.
        Corrupted: the cells of a study are not readable.
    """
    catalogue = _Reading(store).catalogue()
    if not catalogue.runs:
        raise IncompleteInput(
            f"the store {store.url} holds no answers yet; 'sixtyfold study run' makes them"
        )
    return catalogue


class _Labelled(NamedTuple):
    """How a job is called, and of which study."""

    study: str
    label: str
    order: tuple[Any, ...]
    cell: dict[str, Any]

    def place(self, *after: Any, untuned: bool = False) -> tuple[Any, ...]:
        """Return what sorts a run: untuned ones first, what is of no study last."""
        return (self.study == _NO_STUDY, self.study, not untuned, *self.order, *after)


class _Reading:
    """What is gathered of a store on the way to its catalogue."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.models: dict[str, Askable] = {}
        self.notes: list[str] = []
        every = sorted(store.tables())
        tables = [each for each in every if each.name in _NAMES]
        self.paths: dict[StoredTable, Path] = dict(
            zip(tables, store.table_files(tables), strict=True)
        )
        self.tuned = {each.key for each in every if each.stage == "tune"}
        self.recorded = {
            str(event["key"]): float(str(event["time"]))
            for event in store.events()
            if event.get("event") == "recorded"
        }
        self.bases = self.compared()
        self.labelled = _labels(_cells(store))

    def catalogue(self) -> Catalogue:
        """Return all of it."""
        runs = {each.name: each for each in self.runs()}
        return Catalogue(
            title=self.store.url,
            runs=runs,
            facts=self.fact_sets(each.facts for each in runs.values()),
            probes=self.probes(each.probe for each in runs.values()),
            models=self.models,
            notes=tuple(self.notes),
        )

    def runs(self) -> Iterator[Run]:
        """Yield the answers of evaluations, and those of the arms of searches."""
        for table, path in self.paths.items():
            asked = table.stage == "evaluate" and table.name == "answers"
            if not asked and table.name != "test_answers":
                continue
            record = self.record(table.key)
            if record is not None:
                yield from [self.asked(record, path)] if asked else self.arms(record, path)

    def compared(self) -> dict[str, str]:
        """Return which answers were compared with which, by the study itself: after to before."""
        keys = [table.key for table in self.paths if table.stage == "compare"]
        reads = [record.reads for record in map(self.record, keys) if record is not None]
        return {str(each.get("after")): str(each.get("before")) for each in reads}

    def record(self, key: str) -> Record | None:
        """Return a record, or none with a note where it is not readable."""
        try:
            return self.store.record(key)
        except (Corrupted, IncompleteInput) as error:
            self.notes.append(str(error))
            return None

    def asked(self, record: Record, path: Path) -> Run:
        """Return the run of an evaluation."""
        labelled = self.labels_of(record.key)
        how, split = asked_how(record.options), str(record.options.get("split", "test"))
        model = str(record.reads.get("model", ""))
        is_base = model not in self.tuned
        self.add_model(model, labelled, record, str(record.options.get("model", "")))
        words = [labelled.label, *([how] if how and not is_base else []), split]
        return Run(
            name=record.key,
            label=" · ".join(words),
            group=labelled.study,
            order=labelled.place(split, untuned=is_base),
            split=split,
            path=path,
            facts=record.reads.get("facts"),
            probe=record.reads.get("probe"),
            model=model,
            origin=labelled.cell.get("model"),
            is_base=is_base,
            base=self.bases.get(record.key),
            recorded=self.recorded.get(record.key),
        )

    def arms(self, record: Record, path: Path) -> Iterator[Run]:
        """Yield a run for each arm of a search on test."""
        labelled = self.labels_of(record.key)
        try:
            found = read_table(path)["arm"].unique().sort().to_list()
        except Corrupted as error:
            self.notes.append(str(error))
            return
        models = {"base": record.reads.get("base"), "tuned": record.reads.get("tuned")}
        self.add_restored(record, labelled)
        for arm in found:
            model = models.get(arm) or f"{record.key} {arm}"
            self.add_model(model, labelled, record, str(record.options.get(arm, "")), arm)
            yield Run(
                name=f"{record.key}.{arm}",
                label=f"{labelled.label} · search: {arm}",
                group=labelled.study,
                order=labelled.place("~search", arm),
                split="test",
                path=path,
                arm=arm,
                facts=record.reads.get("facts"),
                probe=record.reads.get("probe"),
                model=model,
                origin=labelled.cell.get("model"),
                recorded=self.recorded.get(record.key),
            )

    def add_restored(self, record: Record, labelled: _Labelled) -> None:
        """Note the repair that a search chose, where it wrote it."""
        place = self.store.place(Job(record.key, "search", {}, {})) / "restored"
        if (place / "manifest.json").is_file():
            label = f"{labelled.label} · restored"
            tuned = str(record.reads.get("tuned"))
            options = model_options(record.options)
            self.models[f"{record.key} restored"] = Askable(
                label, str(place), options, restored_of=tuned
            )

    def labels_of(self, key: str) -> _Labelled:
        """Return how a job is called; by its key where no study names it any more."""
        unnamed = _Labelled(_NO_STUDY, f"job {key}", (key,), {})
        return self.labelled.get(key, unnamed)

    def add_model(
        self, key: str, labelled: _Labelled, record: Record, reference: str, arm: str | None = None
    ) -> None:
        """Note a model that answered, and whether it can be asked now."""
        if key in self.models:
            return
        options = model_options(record.options)
        if key in self.tuned:
            self.models[key] = self.tuned_model(key, labelled.label, options)
        elif arm not in (None, "base", "tuned"):
            label = f"{labelled.label} · {arm}"
            self.models[key] = Askable(label, "", ModelOptions(), _NOT_KEPT)
        else:
            label = str(labelled.cell.get("model") or reference)
            self.models[key] = Askable(f"{label} (base)", reference, options)

    def tuned_model(self, key: str, label: str, options: ModelOptions) -> Askable:
        """Return a trained model of the store."""
        job = Job(key, "tune", {}, {})
        place = self.store.place(job)
        if (place / "manifest.json").is_file():
            return Askable(label, str(place), options)
        if self.store.has_weights(job):
            elsewhere = f"its weights lie in {self.store.url}; copy them here and give --model"
            return Askable(label, str(place), options, elsewhere)
        return Askable(label, str(place), options, _REMOVED)

    def fact_sets(self, keys: Iterable[str | None]) -> dict[str, FactSet]:
        """Return the fact sets of some jobs."""
        found = {}
        for key in sorted({each for each in keys if each}):
            facts = self.paths.get(StoredTable("facts", "facts", key))
            if facts is not None:
                found[key] = FactSet(facts, self.paths.get(StoredTable("templates", "facts", key)))
        return found

    def probes(self, keys: Iterable[str | None]) -> dict[str, Probe]:
        """Return the probes of some jobs."""
        found = {}
        for key in sorted({each for each in keys if each}):
            for stage in ("probe", "join"):
                path = self.paths.get(StoredTable("probe", stage, key))
                record = self.record(key) if path is not None else None
                if path is None or record is None:
                    continue
                prompts = self.paths.get(StoredTable("probe_prompts", stage, key))
                label = str(self.labels_of(key).cell.get("model") or "base")
                found[key] = Probe(label, path, prompts, protocol_of(record.options))
        return found


def _cells(store: Store) -> list[dict[str, Any]]:
    files = store.cells_files()
    if not files:
        return []
    try:
        frame = pl.concat([pl.read_parquet(path, schema=CELLS_SCHEMA) for path in files])
    except (pl.exceptions.PolarsError, OSError) as error:
        line = " ".join(str(error).split())[:200]
        raise Corrupted(
            f"the cells of a study of {store.url} are not readable ({line}); "
            "'sixtyfold study run' writes them again"
        ) from None
    return frame.to_dicts()


def _labels(cells: list[dict[str, Any]]) -> dict[str, _Labelled]:
    """Return how every job is called: by the first chosen cell that names it."""
    varied = {study: _varied(rows) for study, rows in _by_study(cells).items()}
    found: dict[str, _Labelled] = {}
    for cell in sorted(cells, key=lambda each: not each["chosen"]):
        label = cell_label(cell, varied[cell["study"]])
        order = (not str(cell["grid"] or "").startswith(BASE), *(_rank(cell[n]) for n in _COLUMNS))
        found.setdefault(cell["key"], _Labelled(cell["study"], label, order, cell))
    return found


def _by_study(cells: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for cell in cells:
        found[cell["study"]].append(cell)
    return found


def _varied(cells: list[dict[str, Any]]) -> frozenset[str]:
    """Return the columns and options that are not the same in all trainings of a study."""
    values: dict[str, set[str]] = defaultdict(set)
    for cell in cells:
        if str(cell["grid"] or BASE).startswith(BASE) and cell["seed"] is None:
            values["model"].add(str(cell["model"]))
            continue
        for name in _COLUMNS:
            values[name].add(str(cell[name]))
        for name, value in json.loads(cell["options"] or "{}").items():
            values[name].add(str(value))
    values["model"].discard("None")
    return frozenset(name for name, found in values.items() if len(found) > 1)


def _rank(value: Any) -> tuple[int, float, str]:
    """Sort numbers as numbers, words after them, and what is not there first.

    >>> sorted(["240", "natural", None, "60"], key=_rank)
    [None, '60', '240', 'natural']
    """
    if value is None:
        return (0, 0.0, "")
    try:
        return (1, float(value), "")
    except ValueError:
        return (2, 0.0, str(value))
