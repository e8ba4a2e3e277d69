"""What a study would cost and whether its levels have enough facts, before anything starts.

Every stage says itself what a run of it would do. Where the store holds jobs of the same kind, the
median of what they took counts; where it holds others of the same stage and model, what the stage
says is multiplied by how far off it was for the one that is nearest in length. Trainings go by the
optimiser steps of those of other studies where this one has none.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.cost import parameters
from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.models import model_directory
from sixtyfold.study.any_store import Store
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Job, Place
from sixtyfold.study.kinds import Took, kind_of, model_behind
from sixtyfold.study.plan import Plan
from sixtyfold.study.stages import MAKES_WEIGHTS, STAGES
from sixtyfold.study.trainings_elsewhere import TrainingsElsewhere

_SECONDS = ("estimated_seconds", "estimated_seconds_of_answers")
_TOKENS = ("prompt_tokens", "sampled_tokens_at_most", "answer_tokens_at_most", "tokens")
_BYTES_PER_WEIGHT = 4  # a tuned model is written in float32 unless its base is smaller


def estimate(study: StudyFile, store: Store, known: Plan, plan: Plan) -> dict[str, Any]:
    """Return what `sixtyfold study run` would do.

    Args:
        study: the file.
        store: where results lie.
        known: the jobs that are known to be needed.
        plan: these, and those that follow from open choices, whatever is chosen: as many, and as
            long ones.

    Returns:
        cells, jobs and how many are there; per stage what is left, and its hours; tokens; the disk
        that checkpoints need at once; jobs that follow from open choices (part of all the
        others); and what `supply` finds. Stages with jobs that could not be estimated, which
        `hours` leaves out, stand with the reason under `not_estimated`.
    """
    done = store.recorded()
    left = [job for job in plan.jobs.values() if job.key not in done]
    costs = _Costs(study, store, plan, [job for job in plan.jobs.values() if job.key in done])
    with costs.ready():
        found = {job.key: costs.of(job) for job in left}
    seconds: defaultdict[str, float] = defaultdict(float)
    for job in left:
        seconds[job.stage] += found[job.key].seconds or 0.0
    unknown = {
        f"{job.stage}: {found[job.key].why}" for job in left if found[job.key].seconds is None
    }
    trainings = [cell for cell in plan.cells if "tune" in cell.jobs]
    return {
        "trainings": len(trainings),
        "untuned_models": len(plan.cells) - len(trainings),
        "jobs": len(plan.jobs),
        "jobs_there": len(plan.jobs) - len(left),
        "jobs_left": dict(Counter(job.stage for job in left)),
        "jobs_after_open_choices": len(plan.jobs) - len(known.jobs),
        "hours": round(sum(seconds.values()) / 3600, 2),
        "hours_by_stage": {name: round(value / 3600, 3) for name, value in seconds.items()},
        "not_estimated": sorted(unknown),
        "tokens": sum(found[job.key].tokens for job in left),
        "gigabytes_of_checkpoints": _checkpoint_gigabytes(study, plan),
        "supply": supply(store, plan, done),
    }


def supply(store: Store, plan: Plan, done: set[str]) -> list[str]:
    """Return a line for every choice of examples that its probe cannot supply.

    Without a probe in the store there is one line that says so.
    """
    from sixtyfold.stages.select import run as select
    from sixtyfold.study.work import spec_of

    lines: list[str] = []
    for job in plan.jobs.values():
        if job.stage != "select" or job.key in done:
            continue
        if not all(key in done for key in job.after):
            lines.append("levels are not known before the probe is done")
            continue
        reads = {key: plan.jobs[key] for key in job.after}
        try:
            select.plan(spec_of(job, reads, store))  # type: ignore[arg-type]
        except SixtyfoldError as error:
            set_ = f"size {job.options.get('size', 60)}, levels {job.options.get('levels')}"
            lines.append(f"{set_}: {error}")
    return sorted(set(lines))


class _Cost(NamedTuple):
    seconds: float | None
    tokens: int
    why: str
    """Why there are no seconds."""


class _Costs:
    """Asks each kind of job once what it would cost."""

    def __init__(self, study: StudyFile, store: Store, plan: Plan, done: list[Job]) -> None:
        self.plan = plan
        self.store = store
        self.done = done
        self.seen: dict[str, _Cost] = {}
        self.asked: dict[str, dict[str, Any]] = {}
        self.elsewhere = TrainingsElsewhere(store)
        self.took = Took()
        self.took.add(store, done, plan.jobs)
        self.reference = str(study.facts.get("facts", "atlas"))

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Build the fact set to count in, and forget it at the end."""
        with tempfile.TemporaryDirectory() as folder:
            self.folder = Path(folder)
            self.facts = self.folder / "facts"
            job = next(each for each in self.plan.jobs.values() if each.stage == "facts")
            self.run(job, {"facts": self.reference}, self.facts)
            yield

    def of(self, job: Job) -> _Cost:
        """Return the cost of a job."""
        kind = kind_of(job, self.plan.jobs)
        if kind not in self.seen:
            counted = self.counted(job)
            seconds = self.took.like(job, self.plan.jobs)
            if seconds is None:
                seconds = self.expected(job)
            tokens = sum(int(counted.get(name, 0)) for name in _TOKENS) // self.parts(job)
            self.seen[kind] = _Cost(seconds, tokens, counted.get("why", "nothing says how long"))
        return self.seen[kind]

    def expected(self, job: Job) -> float | None:
        """Return the seconds of a job of which there is no like, from those of its stage."""
        told, recorded = self.told(job), self.recorded_of(job)
        if told is None:  # the stage does not say
            return statistics.median(recorded.values()) if recorded else None
        pairs = [(self.told(self.plan.jobs[key]), took) for key, took in recorded.items()]
        known = [(own, took) for own, took in pairs if own]
        if not told or not known:
            elsewhere = self.of_other_studies(job)
            return told if elsewhere is None else elsewhere
        own, took = min(known, key=lambda pair: abs(math.log(pair[0] / told)))
        return told * took / own

    def of_other_studies(self, job: Job) -> float | None:
        """Return the seconds of a training by those of the same model that others recorded."""
        steps, model = self.counted(job).get("steps"), model_behind(job, self.plan.jobs)
        if job.stage != "tune" or steps is None or model is None:
            return None
        return self.elsewhere.seconds(model, job.options.get("lora_rank"), int(steps))

    def recorded_of(self, job: Job) -> dict[str, float]:
        """Return what recorded jobs of the same stage and model took: one of each kind, by key."""
        model, found = model_behind(job, self.plan.jobs), {}
        for each in self.done:
            if each.stage == job.stage and model_behind(each, self.plan.jobs) == model:
                took = self.took.like(each, self.plan.jobs)
                if took is not None:
                    found[kind_of(each, self.plan.jobs)] = (each.key, took)
        return dict(found.values())

    def told(self, job: Job) -> float | None:
        """Return the seconds that the stage itself expects, if it says so."""
        counted = self.counted(job)
        seconds = next((counted[name] for name in _SECONDS if name in counted), None)
        return None if seconds is None else float(seconds) / self.parts(job)

    def counted(self, job: Job) -> dict[str, Any]:
        """Return what the stage says of a job of this kind, asked once."""
        kind = kind_of(job, self.plan.jobs)
        if kind not in self.asked:
            self.asked[kind] = self.ask(job)
        return self.asked[kind]

    def parts(self, job: Job) -> int:
        """Return in how many parts the facts of a job were cut."""
        cut = self.plan.jobs.get(str(job.reads.get("facts")))
        return int(cut.options["shards"]) if cut is not None and cut.stage == "shard" else 1

    def ask(self, job: Job) -> dict[str, Any]:
        """Return what the stage says, the base standing in for tuned models."""
        if job.stage in ("facts", "shard", "join", "select", "compare", "diff"):
            return {"estimated_seconds": 0.0} if job.stage != "diff" else {}
        places: dict[str, Any] = {
            name: source.reference
            for name, source in job.reads.items()
            if isinstance(source, Place)
        }
        if "facts" in job.reads:
            places["facts"] = str(self.facts)
        for name in ("model", "base", "tuned"):
            if name in STAGES[job.stage].reads:
                places[name] = model_behind(job, self.plan.jobs)
        module = _module(STAGES[job.stage].function)
        try:
            if "selection" in job.reads:
                chosen = self.plan.jobs[str(job.reads["selection"])]
                places["selection"] = str(self.any_selection(chosen))
            spec = (
                STAGES[job.stage]
                .spec_class()
                .parse({**job.options, **places, "out": self.folder / "none"})
            )
            found: dict[str, Any] = module.plan(spec)
        except SixtyfoldError as error:
            return {"why": " ".join(str(error).split())}
        return found

    def any_selection(self, job: Job) -> Path:
        """Choose as many examples of any level."""
        kept = ("size", "balance", "disjoint", "prompt_form", "system_prompt")
        options = {name: job.options[name] for name in kept if name in job.options}
        out = self.folder / job.key
        places = {"facts": str(self.facts)}
        self.run(job._replace(options={**options, "short": "fill"}), places, out)
        return out

    def run(self, job: Job, places: dict[str, str], out: Path) -> None:
        kind = STAGES[job.stage]
        kind.run(kind.spec_class().parse({**job.options, **places, "out": out}))


def _checkpoint_gigabytes(study: StudyFile, plan: Plan) -> float:
    """Return what the checkpoints take that are there at once."""
    tuned = [job for job in plan.jobs.values() if job.stage in MAKES_WEIGHTS]
    if not tuned:
        return 0.0
    largest = max(
        parameters(model_directory(entry.model, entry.options.get("revision")))
        for entry in study.models
    )
    at_once = len(tuned)
    if not study.keep_checkpoints:
        trained = [
            len(study.seeds_of(grid))
            * (len(value) if isinstance(value := grid.tune.get(grid.choose or ""), list) else 1)
            for grid in study.grids
        ]
        at_once = min(at_once, max(trained))
    return round(at_once * largest * _BYTES_PER_WEIGHT / 1e9, 1)


def _module(function: str) -> Any:
    import importlib

    return importlib.import_module(function.split(":", maxsplit=1)[0])
