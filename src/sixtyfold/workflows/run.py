"""The main path: from facts to a repaired model and its report, one stage after another.

Every step is a stage with a directory of its own, so a killed run continues with the same
command: finished stages are recognised by their manifests and not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.atomic_files import write_json
from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import load_tokenizer, model_directory, resolve_device
from sixtyfold.core.prompts import PromptOptions, question_ids
from sixtyfold.sources.build import build as build_facts
from sixtyfold.sources.spec import FactsBuildSpec
from sixtyfold.stages.compare.run import run as compare
from sixtyfold.stages.compare.spec import CompareSpec
from sixtyfold.stages.diff.run import run as diff
from sixtyfold.stages.diff.spec import DiffSpec
from sixtyfold.stages.drift.run import run as drift
from sixtyfold.stages.drift.spec import DriftSpec
from sixtyfold.stages.evaluate.run import run as evaluate
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.stages.probe.run import run as probe
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.stages.restore.run import run as restore
from sixtyfold.stages.select.run import run as select
from sixtyfold.stages.select.spec import SelectSpec
from sixtyfold.stages.tune.run import run as tune
from sixtyfold.stages.tune.spec import TuneSpec
from sixtyfold.workflows.asking import ways_of
from sixtyfold.workflows.card_numbers import put_run_numbers
from sixtyfold.workflows.run_spec import RunSpec
from sixtyfold.workflows.search import chosen_restore, search
from sixtyfold.workflows.search_spec import SearchSpec
from sixtyfold.workflows.summary import PROMPTS, best_prompt, summarise


def run(spec: RunSpec, announce: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Walk the main path and return the summary (design §7), also written as `summary.json`.

    Args:
        spec: the options.
        announce: told the name of each step before it starts.

    Raises:
        SixtyfoldError: what the stages raise.
    """
    resolve_device(spec.device)
    tokenizer = load_tokenizer(model_directory(spec.model, spec.revision))
    question_ids(tokenizer, spec, "?")
    steps = _Steps(spec, announce)
    steps.learn_what_it_knows()
    for name, changed in ways_of(tokenizer).items():
        steps.ask(name, spec.model, **changed)
    steps.train()
    steps.ask("tuned", str(steps.at("tuned")))
    steps.look_at_changes()
    steps.repair()
    steps.ask("restored", str(steps.at("restored")))
    steps.compare()
    with steps.timed("summary"):
        summary = summarise(spec.out)
        write_json(spec.out / "summary.json", summary)
        put_run_numbers(spec.out, summary)
    write_json(spec.out / "timings.json", steps.seconds)
    return summary


def facts_of(spec: RunSpec) -> FactsBuildSpec:
    """Return the options with which a run takes its facts."""
    return FactsBuildSpec(
        out=spec.out / "facts",
        facts=spec.facts,
        train=spec.train,
        dev=spec.dev,
        test=spec.test,
        seed=spec.seed,
    )


def check_size(facts: pl.DataFrame, spec: RunSpec) -> None:
    """Refuse a training set that is larger than the facts it could be chosen from.

    Raises:
        BadInput: it is.
    """
    there = facts.filter(split="train").height
    if spec.size > there:
        raise BadInput(
            f"--size {spec.size} was given and there are {there} training facts in domain "
            f"(--train {spec.train} at most); lower --size, or give more questions"
        )


class _Steps:
    """The steps of one run and their directories."""

    def __init__(self, spec: RunSpec, announce: Callable[[str], None]) -> None:
        self.spec = spec
        self.announce = announce
        self.seconds: dict[str, float] = {}
        self.model = spec.options().model_dump()
        self.prompt = {name: getattr(spec, name) for name in PromptOptions.model_fields}
        self.facts = str(spec.out / "facts")

    def at(self, *names: str) -> Path:
        """Return a directory of the run."""
        return self.spec.out.joinpath(*names)

    def timed(self, name: str) -> _Timed:
        """Announce and time a step."""
        self.announce(name)
        return _Timed(self.seconds, name)

    def learn_what_it_knows(self) -> None:
        """Sample facts, probe them and choose the training set."""
        spec = self.spec
        with self.timed("facts"):
            facts = build_facts(facts_of(spec)).table("facts")
            check_size(facts, spec)
        with self.timed("probe"):
            probe(
                ProbeSpec(
                    out=self.at("probe"),
                    model=spec.model,
                    facts=self.facts,
                    splits="train,test",
                    templates=spec.templates,
                    match=spec.match,
                    seed=spec.seed,
                    **self.model,
                )
            )
        with self.timed("select"):
            select(
                SelectSpec(
                    out=self.at("selection"),
                    facts=self.facts,
                    probe=self.at("probe"),
                    levels=spec.levels,
                    size=str(spec.size),
                    short=spec.short,
                    seed=spec.seed,
                    **self.prompt,
                )
            )

    def ask(self, name: str, model: str, **changed: Any) -> None:
        """Evaluate a model on dev and test."""
        spec = self.spec
        for split in ("dev", "test"):
            with self.timed(f"answers {name} {split}"):
                evaluate(
                    EvaluateSpec(
                        out=self.at("answers", f"{name}-{split}"),
                        model=model,
                        facts=self.facts,
                        split=split,
                        probe=self.at("probe"),
                        max_new_tokens=spec.max_new_tokens,
                        match=spec.match,
                        seed=spec.seed,
                        **{**self.model, **self.prompt, **changed},
                    )
                )

    def train(self) -> None:
        """Tune on the selection."""
        spec = self.spec
        with self.timed("tune"):
            tune(
                TuneSpec(
                    out=self.at("tuned"),
                    model=spec.model,
                    selection=self.at("selection"),
                    learning_rate=spec.learning_rate,
                    seed=spec.seed,
                    **self.model,
                    **self.prompt,
                )
            )

    def look_at_changes(self) -> None:
        """Measure what moved in the weights and in the next-token distributions."""
        spec, tuned = self.spec, str(self.at("tuned"))
        with self.timed("diff"):
            diff(DiffSpec(out=self.at("diff"), base=spec.model, tuned=tuned, seed=spec.seed))
        with self.timed("drift"):
            drift(
                DriftSpec(
                    out=self.at("drift"),
                    base=spec.model,
                    tuned=tuned,
                    facts=self.facts,
                    probe=self.at("probe"),
                    **self.model,
                    **self.prompt,
                )
            )

    def repair(self) -> None:
        """Search the best repair on dev and write it as a checkpoint."""
        spec, tuned = self.spec, str(self.at("tuned"))
        with self.timed("search"):
            search(
                SearchSpec(
                    out=self.at("search"),
                    base=spec.model,
                    tuned=tuned,
                    facts=self.facts,
                    families=("relative", "interpolation"),
                    halvings=0,
                    test=False,
                    checkpoint=False,
                    match=spec.match,
                    max_new_tokens=spec.max_new_tokens,
                    seed=spec.seed,
                    **self.model,
                    **self.prompt,
                )
            )
        with self.timed("restore"):
            restore(chosen_restore(self.at("search"), spec.model, tuned, self.at("restored")))

    def compare(self) -> None:
        """Compare the best-prompted base with the tuned, and the tuned with the restored."""
        best = PROMPTS[best_prompt(self.spec.out) or "base"]
        pairs = {"base-tuned": (best, "tuned"), "tuned-restored": ("tuned", "restored")}
        for name, (before, after) in pairs.items():
            with self.timed(f"compare {name}"):
                compare(
                    CompareSpec(
                        out=self.at("compare", name),
                        before=self.at("answers", f"{before}-test"),
                        after=self.at("answers", f"{after}-test"),
                    )
                )


class _Timed:
    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self.seconds = seconds
        self.name = name

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = round(time.monotonic() - self.start, 3)
