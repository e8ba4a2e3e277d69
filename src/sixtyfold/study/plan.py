"""From a study file to jobs and cells.

A cell is one training (or one untuned model) with the jobs that make it and ask it; jobs that
several cells need stand once. What is chosen on dev decides which further jobs there are: until
the dev answers of a choice are there, the plan ends at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import ModelOptions
from sixtyfold.study.file import BASE, Grid, ModelEntry, StudyFile
from sixtyfold.study.jobs import Job, Place, make_job
from sixtyfold.study.options import Options, as_read
from sixtyfold.study.stages import FOLDERS, STAGES


class Cell(NamedTuple):
    """What results are labelled by, and the jobs behind them.

    labels: grid, model, seed, every option of select and tune that the study sets, and of a
        training its size, levels and learning rate also where they are defaults.
    jobs: role (`select`, `tune`, `dev`, `test`, `drift`, ...) to the key of a job.
    chosen: whether it is asked on test: chosen on dev, or there was nothing to choose.
    """

    labels: dict[str, Any]
    jobs: dict[str, str]
    chosen: bool


class Plan(NamedTuple):
    """The jobs of a study in an order in which each comes after what it reads.

    cells: in the order of the file.
    waiting: tuned models among which a choice is still open: their weights may be needed again.
    open_choices: for each of these choices, the dev answers that it needs.
    """

    jobs: dict[str, Job]
    cells: list[Cell]
    waiting: frozenset[str]
    open_choices: tuple[frozenset[str], ...]


class Inputs(NamedTuple):
    """What the study file names, found.

    facts: the fact set.
    models: name to model.
    chat: names of the models with a chat template.
    folders: those that options name, by what the file says.
    """

    facts: Place
    models: dict[str, Place]
    chat: frozenset[str]
    folders: Mapping[str, Place] = MappingProxyType({})


#: Given the keys of dev answers of one candidate (one per seed): their mean accuracy, or None
#: while one of them is not there.
DevScore = Callable[[tuple[str, ...]], float | None]


def plan_study(study: StudyFile, inputs: Inputs, dev_score: DevScore) -> Plan:
    """Return every job that is known to be needed.

    Args:
        study: the file.
        inputs: what it names.
        dev_score: says how candidates of a choice did on dev.

    Raises:
        BadInput: a stage's spec refuses the options of a job.
    """
    return _Planner(study, inputs, dev_score).plan()


class _Planner:
    def __init__(self, study: StudyFile, inputs: Inputs, dev_score: DevScore) -> None:
        self.study = study
        self.inputs = inputs
        self.dev_score = dev_score
        self.jobs: dict[str, Job] = {}
        self.cells: list[Cell] = []
        self.waiting: set[str] = set()
        self.open_choices: list[frozenset[str]] = []

    def plan(self) -> Plan:
        sample = {name: value for name, value in self.study.facts.items() if name != "facts"}
        facts = self.add("facts", sample, {"facts": self.inputs.facts})
        for model in self.study.models:
            place = self.inputs.models[model.name]
            probe = self.probe(model, place, facts)
            around = _Around(model, place, facts, probe, None)
            if self.study.base:
                untuned = list(self.untuned(around))
                self.cells += untuned
                around = around._replace(best_way=self.best_way(untuned))
            for grid in self.study.grids:
                self.grid(around, grid)
        return Plan(self.jobs, self.cells, frozenset(self.waiting), tuple(self.open_choices))

    def add(
        self,
        stage: str,
        options: Mapping[str, Any],
        reads: Mapping[str, Any],
        model: ModelEntry | None = None,
        *,
        shared: bool = True,
    ) -> str:
        """Add a job, with what the study and the model give to all stages; return its key."""
        fields = STAGES[stage].spec_class().model_fields
        given = {**(self.study.shared if shared else {}), **(model.options if model else {})}
        common = {name: value for name, value in given.items() if name in fields}
        try:
            job = make_job(stage, {**common, **options}, reads)
        except BadInput as error:
            raise BadInput(f"{stage}: {error}") from None
        self.jobs.setdefault(job.key, job)
        return job.key

    def probe(self, model: ModelEntry, place: Place, facts: str) -> str | None:
        """Add the probe of a model, in shards where the study says so."""
        options = self.study.probe
        if options is None:
            return None
        if self.study.shards == 1:
            return self.add("probe", options, {"model": place, "facts": facts}, model)
        parts = []
        for index in range(self.study.shards):
            cut = {"index": index, "shards": self.study.shards}
            shard = self.add("shard", cut, {"facts": facts})
            parts.append(self.add("probe", options, {"model": place, "facts": shard}, model))
        return self.add("join", {}, {"facts": facts, "parts": tuple(parts)})

    def untuned(self, around: _Around) -> Iterator[Cell]:
        """Add the answers of a base model, asked in its ways."""
        model, probe = around.model, around.probe
        ways: dict[str, Options] = {
            BASE: {},
            f"{BASE}, 4 examples": {"shots": 4},
            f"{BASE}, chat": {"prompt_form": "chat"},
        }
        if model.name not in self.inputs.chat:
            del ways[f"{BASE}, chat"]
        reads = {"model": around.place, "facts": around.facts, "probe": probe}
        for name, changed in ways.items():
            jobs = {
                split: self.add(
                    "evaluate", {**self.study.evaluate, **changed, "split": split}, reads, model
                )
                for split in ("dev", "test")
            }
            found = {"probe": probe} if probe else {}
            labels = {"grid": name, "model": model.name, "seed": None}
            yield Cell(labels, {**found, **jobs}, chosen=True)

    def best_way(self, untuned: list[Cell]) -> str | None:
        """Return the test answers of the way that did best on dev; None while that is open."""
        best = self.best([[cell] for cell in untuned])
        if best is None:
            self.open_choices.append(frozenset(cell.jobs["dev"] for cell in untuned))
            return None
        return untuned[best].jobs["test"]

    def grid(self, around: _Around, grid: Grid) -> None:
        """Add the trainings of a grid for one model."""
        groups: dict[str, list[tuple[Options, Options]]] = {}
        for select, tune in grid.combinations():
            kept = {name: value for name, value in tune.items() if name != grid.choose}
            groups.setdefault(repr((select, kept)), []).append((select, tune))
        for candidates in groups.values():
            self.group(around, grid, candidates)

    def group(self, around: _Around, grid: Grid, candidates: list[tuple[Options, Options]]) -> None:
        """Add the trainings of one choice: all on dev, the chosen one on test and the rest."""
        trained = [self.trainings(around, grid, *each) for each in candidates]
        chosen: int | None = 0
        if len(candidates) > 1:
            chosen = self.best(trained)
            if chosen is None:
                every = [cell.jobs for cells in trained for cell in cells]
                self.waiting.update(jobs["tune"] for jobs in every)
                self.open_choices.append(frozenset(jobs["dev"] for jobs in every))
        for index, cells in enumerate(trained):
            for cell in cells:
                if index == chosen:
                    cell.jobs.update(self.look_into(around, grid, cell.jobs["tune"]))
                self.cells.append(cell._replace(chosen=index == chosen))

    def best(self, trained: list[list[Cell]]) -> int | None:
        """Return the candidate with the highest mean dev accuracy, the first of equal ones."""
        scores = [self.dev_score(tuple(cell.jobs["dev"] for cell in cells)) for cells in trained]
        known = [score for score in scores if score is not None]
        return scores.index(max(known)) if len(known) == len(scores) else None

    def trainings(self, around: _Around, grid: Grid, select: Options, tune: Options) -> list[Cell]:
        """Add selection, training and dev answers of one combination, for every seed."""
        cells = []
        for seed in self.study.seeds_of(grid):
            chosen = self.add(
                "select",
                {**select, "seed": seed},
                {"facts": around.facts, "probe": around.probe},
            )
            tuned = self.add(
                "tune",
                {**tune, "seed": seed},
                {"model": around.place, "selection": chosen},
                around.model,
            )
            jobs = {"select": chosen, "tune": tuned, "dev": self.ask(around, tuned, "dev")}
            labels = {"grid": grid.name, "model": around.model.name, "seed": seed}
            cells.append(Cell({**labels, **_settings(select, tune)}, jobs, chosen=True))
        return cells

    def ask(self, around: _Around, tuned: str, split: str, selection: Any = None) -> str:
        reads: dict[str, Any] = {"model": tuned, "facts": around.facts, "probe": around.probe}
        reads["selection"] = selection
        return self.add("evaluate", {**self.study.evaluate, "split": split}, reads, around.model)

    def look_into(self, around: _Around, grid: Grid, tuned: str) -> dict[str, str]:
        """Add what a chosen training is asked besides dev."""
        found = {"test": self.ask(around, tuned, "test")}
        if grid.own:
            found["own"] = self.ask(around, tuned, "train", self.jobs[tuned].reads["selection"])
        if around.best_way is not None:
            sides = {"before": around.best_way, "after": found["test"]}
            found["compare"] = self.add("compare", {}, sides)
        pair: dict[str, Any] = {"base": around.place, "tuned": tuned}
        facts = {"facts": around.facts, "probe": around.probe}
        if grid.diff is not None:
            found["diff"] = self.add("diff", grid.diff, pair, around.model)
        if grid.drift is not None:
            found["drift"] = self.add("drift", grid.drift, {**pair, **facts}, around.model)
        for number, options in enumerate(grid.search or (), start=1):
            role = "search" if number == 1 else f"search-{number}"
            found[role] = self.search(around, options, pair, facts)
        return found

    def search(
        self, around: _Around, options: Options, pair: dict[str, Any], facts: dict[str, Any]
    ) -> str:
        """Add a search on dev facts, asked as all are asked, or on a task that asks by itself."""
        folders = {name: each for name, each in options.items() if name in FOLDERS["search"]}
        own = {"checkpoint": False, **options}
        own = {name: each for name, each in own.items() if name not in folders}
        pair = pair | {name: self.inputs.folders[str(each)] for name, each in folders.items()}
        if options.get("lm_eval_task") is not None:
            of_model = {**self.study.shared, **around.model.options}
            given = {name: of_model[name] for name in ModelOptions.model_fields if name in of_model}
            return self.add("search", {**given, **own}, pair, shared=False)
        fields = STAGES["search"].spec_class().model_fields
        asked = {name: each for name, each in self.study.evaluate.items() if name in fields}
        return self.add("search", {**asked, **own}, {**pair, **facts}, around.model)


class _Around(NamedTuple):
    """What the trainings of one model share.

    best_way: test answers of the base in the way that did best on dev.
    """

    model: ModelEntry
    place: Place
    facts: str
    probe: str | None
    best_way: str | None


def _settings(select: Options, tune: Options) -> Options:
    """Return the options that are set, and the defaults of those by which trainings are told."""
    size = as_read("select", {"size": 60, "levels": "natural", **select})
    rate = as_read("tune", {"learning_rate": None, **tune})
    return {**size, **rate}
