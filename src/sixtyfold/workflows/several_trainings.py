"""What several trainings share that are compared on dev: their inputs, questions, answers, scores.

Each checkpoint is asked and removed; `tuning.py` compares learning rates so, `ladder.py` sizes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from sixtyfold.core.accuracy import accuracy
from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import model_directory, model_fingerprint, release_model
from sixtyfold.core.stage import Finished, StageDirectory, finished
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.evaluate.answer import answer_facts, with_levels
from sixtyfold.stages.tune import run as tune
from sixtyfold.workflows.tuning_spec import TuningSpec


def inputs_of(spec: TuningSpec, selection: Finished) -> dict[str, str]:
    """Return the fingerprints of everything that several trainings depend on."""
    found = {
        "model": model_fingerprint(model_directory(spec.model, spec.revision)),
        "selection": selection.fingerprint,
        "facts": open_facts(spec.facts).fingerprint,
    }
    if spec.probe is not None:
        found["probe"] = finished(spec.probe, "probe").fingerprint
    return found


def questions(spec: TuningSpec, splits: tuple[str, ...]) -> pl.DataFrame:
    """Return the facts that trained models are asked, with levels where a probe is given.

    Raises:
        BadInput: a split holds no in-domain fact.
    """
    levels = None if spec.probe is None else finished(spec.probe, "probe").table("probe")
    rows = open_facts(spec.facts).facts.filter(pl.col("split").is_in(splits))
    for split in splits:
        if rows.filter((pl.col("split") == split) & (pl.col("domain") == "in")).is_empty():
            raise BadInput(f"{spec.facts} holds no in-domain fact of split {split} to judge on")
    return with_levels(rows.sort("fact_id"), levels)


def trained_answers(
    stage: StageDirectory, spec: TuningSpec, selection: Path, rate: float, facts: pl.DataFrame
) -> pl.DataFrame:
    """Train one model, ask it, and remove its checkpoint.

    Args:
        stage: where the checkpoint is meanwhile.
        spec: options of the trainings.
        selection: the training set.
        rate: the learning rate.
        facts: what is asked.

    Returns:
        an answers table.
    """
    from sixtyfold.engines.torch_engine import TorchEngine

    # Named after set and rate, so that a killed training goes on and no other takes its place.
    folder = stage.path / "training" / "-".join((*selection.parts[-2:], repr(rate)))
    with stage.timed("train"):
        tune.run(spec.stage(selection=selection, learning_rate=rate, out=folder))
    with stage.timed("answer"):
        engine = TorchEngine.load(str(folder), spec)
        answers = answer_facts(engine, facts, spec, spec.match, spec.answer_tokens)
    del engine
    release_model()
    shutil.rmtree(stage.path / "training")
    return answers


def rate_scores(answers: pl.DataFrame) -> pl.DataFrame:
    """Return in-domain macro accuracy on dev of each learning rate, in the order tried."""
    rows = []
    for (rate,), own in answers.group_by("learning_rate", maintain_order=True):
        found = accuracy(own.filter(pl.col("split") == "dev"), "in").macro_relation
        if found is not None:
            rows.append({"learning_rate": rate, **found._asdict()})
    return pl.DataFrame(rows)


def best_rate(table: pl.DataFrame) -> float:
    """Return the rate of highest dev accuracy; of equal ones the smallest, which changes least."""
    return float(table.sort("value", "learning_rate", descending=[True, False])["learning_rate"][0])
