"""What there is to look at: runs, fact sets, probes and models, wherever they come from.

A run is the answers of one model to one split, asked in one way: a job `evaluate`, an arm of a
search on test, a step of a watch. `of_store.py`, `of_run.py` and `of_watch.py` make a catalogue;
nothing else knows the difference.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import ModelOptions

BASE = "base"


class Run(NamedTuple):
    """One model's answers to one split.

    name: what it is known by in addresses of the page.
    label: what people read.
    group: what it belongs to: a study, or nothing.
    order: sorts runs as a reader expects them: untuned first, then by size and seed.
    split: whose facts were asked.
    path: the answers table; `arm` names the rows of it that count, where it holds several.
    facts, probe: keys into the catalogue's fact sets and probes.
    model: key into the catalogue's models; None where its weights were never kept.
    origin: which untuned model it comes from, where a place holds several.
    is_base: whether the model was not tuned.
    base: the run of the untuned model that this one is compared with: asked in the way that did
        best on dev, where that is known.
    recorded: seconds since 1970, where that is known.
    """

    name: str
    label: str
    group: str
    order: tuple[Any, ...]
    split: str
    path: Path
    arm: str | None = None
    facts: str | None = None
    probe: str | None = None
    model: str | None = None
    origin: str | None = None
    is_base: bool = False
    base: str | None = None
    recorded: float | None = None


class FactSet(NamedTuple):
    """A table of facts and, where there are any, of its cloze templates."""

    facts: Path
    templates: Path | None


class Probe(NamedTuple):
    """What a probe found: a row per fact, and per fact and template.

    protocol: estimator, matching and templates, in words; levels mean nothing without it.
    """

    label: str
    probe: Path
    prompts: Path | None
    protocol: str


class Askable(NamedTuple):
    """A model that questions can be tried on, or could be.

    missing: why it cannot be asked now, in one line.
    restored_of: key of the tuned model of which it is a repair.
    wanted: whether it was given on the command line.
    """

    label: str
    reference: str
    options: ModelOptions
    missing: str | None = None
    restored_of: str | None = None
    wanted: bool = False


class Catalogue(NamedTuple):
    """All there is to look at.

    title: the store or run, as it was given.
    notes: what could not be read, a line each.
    """

    title: str
    runs: dict[str, Run]
    facts: dict[str, FactSet]
    probes: dict[str, Probe]
    models: dict[str, Askable]
    notes: tuple[str, ...] = ()

    def in_order(self, split: str | None = None) -> list[Run]:
        """Return the runs as a reader expects them, of one split or of all."""
        found = [each for each in self.runs.values() if split is None or each.split == split]
        return sorted(found, key=lambda each: each.order)

    def base_of(self, run: Run) -> Run | None:
        """Return the run of the untuned model to compare a run with.

        The one that is known to be it, else the first untuned one of the same origin, facts and
        split.
        """
        told = (run.facts, run.group, run.origin)
        if run.base in self.runs and run.base != run.name:
            return self.runs[run.base]
        for other in self.in_order(run.split):
            same = (other.facts, other.group, other.origin) == told
            if other.is_base and same and other.name != run.name:
                return other
        return None

    def models_of(self, runs: Iterable[Run]) -> list[str]:
        """Return the models that are here of some runs, their repairs, and those a user gave."""
        keys = [run.model for run in runs if run.model is not None]
        others = self.models.items()
        keys += [name for name, each in others if each.wanted or each.restored_of in keys]
        here = (name for name in keys if self.models[name].missing is None)
        return list(dict.fromkeys(here))

    def first_pair(self) -> tuple[Run, Run] | None:
        """Return what a newcomer wants to see: the first tuned run beside its base.

        Of test where it can be. Any two runs of one split where none is tuned, and None where there
        are no two.
        """
        others = sorted({run.split for run in self.runs.values()} - {"test", "dev"})
        for split in ("test", "dev", *others):
            runs = self.in_order(split)
            for after in (each for each in runs if not each.is_base):
                before = self.base_of(after)
                if before is not None:
                    return before, after
            if len(runs) > 1:
                return runs[0], runs[1]
        return None


def further_models(given: Iterable[str], known: Container[str] = ()) -> dict[str, Askable]:
    """Return the models a user names on the command line.

    Args:
        given: NAME=MODEL or MODEL, each.
        known: names that are taken.

    Raises:
        BadInput: a name or a model is empty, or a name is taken.

    >>> further_models(["restored=runs/r", "embedded"])["restored"].reference
    'runs/r'
    """
    found: dict[str, Askable] = {}
    for each in given:
        name, equals, reference = each.partition("=")
        if not name or (equals and not reference):
            raise BadInput(f"--model {each} was given; allowed: NAME=MODEL or MODEL")
        if name in known or name in found:
            raise BadInput(
                f"--model {each} was given, but {name!r} is there already; give another name"
            )
        found[name] = Askable(name, reference if equals else each, ModelOptions(), wanted=True)
    return found
