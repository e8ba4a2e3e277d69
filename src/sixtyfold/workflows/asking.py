"""The `evaluate` command: the stage; or a base asked in every way it might answer.

A base that answers badly when asked plainly may only lack the format, so it is asked three ways,
and the best on dev is what a tuned model is compared with.

    --out/answers/base-dev, base-test, base-fewshot-dev, …    stages `evaluate`
"""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.accuracy import accuracy
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.models import load_tokenizer, model_directory, model_fingerprint
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.evaluate import run as evaluate
from sixtyfold.workflows.asking_spec import AskingSpec
from sixtyfold.workflows.summary import PROMPTS, best_prompt, read_answers

SHOTS = 4
SPLITS = ("dev", "test")


def run(spec: AskingSpec) -> Finished:
    """Ask as asked for.

    Returns:
        the stage `evaluate`; with `ways` the stage `evaluate-ways` with the table `ways` and
        `chosen.json`, and a stage `evaluate` for each way and split below it.

    Raises:
        What the stage raises.
    """
    if not spec.ways:
        return evaluate.run(spec.stage())
    directory = model_directory(spec.model, spec.revision)
    inputs = {
        "model": model_fingerprint(directory),
        "facts": open_facts(spec.facts).fingerprint,
    }
    if spec.probe is not None:
        inputs["probe"] = finished(spec.probe, "probe").fingerprint
    with open_stage("evaluate-ways", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "evaluate-ways")
        ways = ways_of(load_tokenizer(directory))
        for name, changed in ways.items():
            for split in SPLITS:
                place = spec.out / "answers" / f"{name}-{split}"
                evaluate.run(spec.stage(**changed, split=split, out=place))
        table = stage.write_table("ways", _table(spec, list(ways)))
        best = best_prompt(spec.out)
        stage.write_json("chosen", {"best_on_dev": best and PROMPTS[best]})
        return stage.finish({"ways": table.height})


def plan(spec: AskingSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    if not spec.ways:
        return evaluate.plan(spec.stage())
    ways = ways_of(load_tokenizer(model_directory(spec.model, spec.revision)))
    plans = {
        f"{name} {split}": evaluate.plan(spec.stage(**changed, split=split))
        for name, changed in ways.items()
        for split in SPLITS
    }
    return {
        "questions": {name: each["questions"] for name, each in plans.items()},
        "estimated_seconds": sum(each["estimated_seconds"] for each in plans.values()),
    }


def ways_of(tokenizer: Any) -> dict[str, dict[str, Any]]:
    """Return the ways to ask a base: name to the options that differ from plain asking."""
    ways: dict[str, dict[str, Any]] = {"base": {}, "base-fewshot": {"shots": SHOTS}}
    if tokenizer.chat_template:
        ways["base-chat"] = {"prompt_form": "chat"}
    return ways


def _table(spec: AskingSpec, names: list[str]) -> pl.DataFrame:
    rows = []
    for name in names:
        for split in SPLITS:
            answers = read_answers(spec.out, name, split)
            for domain in DOMAINS:
                found = None if answers is None else accuracy(answers, domain).macro_relation
                if found is not None:
                    rows.append({"way": name, "split": split, "domain": domain, **found._asdict()})
    return pl.DataFrame(rows)
