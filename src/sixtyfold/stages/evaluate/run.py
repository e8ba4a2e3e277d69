"""Evaluate: greedy answers of a model to the questions of one split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sixtyfold.core.accuracy import majority_baseline
from sixtyfold.core.cost import forward_seconds, operations_per_second, parameters
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import DOMAINS, seeded_order
from sixtyfold.core.models import load_tokenizer, model_directory, model_fingerprint
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.evaluate.answer import (
    answer_chunk,
    fixed_chunks,
    question_prompts,
    questions_at_once,
    with_levels,
)
from sixtyfold.stages.evaluate.shots import shots_by_relation
from sixtyfold.stages.evaluate.spec import EvaluateSpec

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine


def run(spec: EvaluateSpec) -> Finished:
    """Ask the questions of a split and record the answers.

    Returns:
        the stage with the table `answers`, one row a fact; its manifest's `majority` is the macro
        accuracy over relations of always giving a relation's most common answer.

    Raises:
        BadInput: the split holds no fact, or the chat form has no template.
        IncompleteInput: `probe` is no finished probe.
    """
    source = open_facts(spec.facts)
    directory = model_directory(spec.model, spec.revision)
    inputs = {"model": model_fingerprint(directory), "facts": source.fingerprint}
    levels = None
    if spec.probe is not None:
        probe = finished(spec.probe, "probe")
        inputs["probe"] = probe.fingerprint
        levels = probe.table("probe")
    if spec.selection is not None:
        inputs["selection"] = finished(spec.selection, "select").fingerprint
    facts = with_levels(asked(source.facts, spec), levels)
    shots = shots_by_relation(source.facts, spec.shots, spec.seed)
    with open_stage("evaluate", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "evaluate")
        from sixtyfold.engines.torch_engine import TorchEngine

        with stage.timed("load"):
            engine = TorchEngine.load(spec.model, spec)
        prompts = question_prompts(facts, engine.tokenizer, spec, shots)
        with stage.timed("answer"):
            table = _answer(stage, engine, facts, prompts, spec)
        said = {"notes": list(source.notes), "majority": _majority(source.facts, facts)}
        return stage.finish({"answers": table.height}, **said)


def asked(facts: pl.DataFrame, spec: EvaluateSpec) -> pl.DataFrame:
    """Return the facts to ask, in key order.

    Raises:
        BadInput: there are none, or the training set holds others.
    """
    rows = facts.filter(pl.col("split") == spec.split)
    if rows.is_empty():
        there = ", ".join(facts["split"].unique().sort())
        raise BadInput(f"--split {spec.split} holds no fact; splits here: {there}")
    if spec.selection is not None:
        rows = _of_the_training_set(rows, spec.selection)
    if spec.limit is not None:
        rows = rows[seeded_order(rows["fact_id"].to_list(), spec.seed)[: spec.limit]]
    return rows.sort("fact_id")


def _of_the_training_set(rows: pl.DataFrame, selection: Path) -> pl.DataFrame:
    """Return the facts of a training set."""
    chosen = finished(selection, "select").table("selection")["fact_id"].unique()
    found = rows.filter(pl.col("fact_id").is_in(chosen.implode()))
    if found.height != chosen.len():
        raise BadInput(
            f"{selection} holds {chosen.len()} facts and {found.height} of them are training facts "
            "of --facts; give the facts it was selected from"
        )
    return found


def _answer(
    stage: StageDirectory,
    engine: TorchEngine,
    facts: pl.DataFrame,
    prompts: list[list[int]],
    spec: EvaluateSpec,
) -> pl.DataFrame:
    chunks = fixed_chunks(prompts, _rows_at_once(stage, engine, prompts, spec))

    def answered(chunk: list[int]) -> pl.DataFrame:
        return answer_chunk(
            engine, facts[chunk], [prompts[i] for i in chunk], spec.match, spec.max_new_tokens
        )

    parts = stage.make_parts("answers", chunks, answered, f"evaluate {spec.out.name}")
    return stage.write_table("answers", pl.concat(parts).sort("fact_id"))


def _majority(facts: pl.DataFrame, asked_ones: pl.DataFrame) -> dict[str, Any]:
    """Return, per domain, what always giving a relation's most common answer would reach."""
    found = {
        domain: majority_baseline(facts, asked_ones.filter(pl.col("domain") == domain))
        for domain in DOMAINS
    }
    return {domain: part.rounded() for domain, part in found.items() if part is not None}


def _rows_at_once(
    stage: StageDirectory, engine: TorchEngine, prompts: list[list[int]], spec: EvaluateSpec
) -> int:
    """Return how many questions run together; a continued run must have the same chunks."""
    if not stage.has_part("chunking", 0):
        fitting = spec.batch or questions_at_once(engine, prompts, spec.max_new_tokens)
        stage.write_part("chunking", 0, pl.DataFrame({"rows": [fitting]}))
    return int(stage.read_part("chunking", 0)["rows"][0])


def plan(spec: EvaluateSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    source = open_facts(spec.facts)
    facts = asked(source.facts, spec)
    directory = model_directory(spec.model, spec.revision)
    shots = shots_by_relation(source.facts, spec.shots, spec.seed)
    prompts = question_prompts(facts, load_tokenizer(directory), spec, shots)
    tokens, steps = sum(map(len, prompts)), len(prompts) * spec.max_new_tokens
    speed = operations_per_second(spec.dtype, spec.device)
    return {
        "questions": len(prompts),
        "prompt_tokens": tokens,
        "answer_tokens_at_most": steps,
        "estimated_seconds": round(forward_seconds(parameters(directory), tokens, steps, speed)),
    }
