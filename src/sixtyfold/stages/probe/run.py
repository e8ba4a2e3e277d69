"""The probe: recall and level of every fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from sixtyfold.core.cost import forward_seconds, operations_per_second, parameters
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.models import load_tokenizer, model_directory, model_fingerprint
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.core.templates import fill
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.probe.prompts import chunk_prompts, cloze_prompts, relation_templates
from sixtyfold.stages.probe.record import Asked, prompt_rows, record
from sixtyfold.stages.probe.sampling import ClozePrompt, Sampling, sample_prompts
from sixtyfold.stages.probe.server import plan_on_server, run_on_server
from sixtyfold.stages.probe.slick import SlickSettings, answers_per_fact, score_slick, slick_shots
from sixtyfold.stages.probe.spec import ProbeSpec

SLICK_FACTS = 8  # facts a chunk: 80 prompts, 1,360 answers


def run(spec: ProbeSpec) -> Finished:
    """Measure recall and level of every fact.

    Returns:
        the stage with the tables `probe` (one row a fact) and `probe_prompts` (one row a prompt),
        and with `slick` where classes were asked for.

    Raises:
        BadInput: a relation has no template, or too few facts to show for SliCK; the model, the
            facts or the server are not there.
        ServerFailed: the server did not answer after all retries; finished chunks are kept.
    """
    source = open_facts(spec.facts)
    facts = limited(source.facts, spec)
    templates = relation_templates(facts, source.templates, spec.templates)
    if spec.server is not None:
        return run_on_server(spec, source, facts, templates)
    directory = model_directory(spec.model, spec.revision)
    inputs = {"model": model_fingerprint(directory), "facts": source.fingerprint}
    _check_slick(facts, source.facts, spec)
    with open_stage("probe", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "probe")
        from sixtyfold.engines.torch_engine import TorchEngine

        with stage.timed("load"):
            engine = TorchEngine.load(spec.model, spec)
        prompts = cloze_prompts(facts, templates, engine.tokenizer, engine.vocabulary, spec)
        chunks = chunk_prompts(prompts, spec.batch // spec.draws_per_template)
        with stage.timed("draw"):
            _draw(stage, engine, chunks, spec)
        slick = []
        if spec.slick:
            slick = fixed_groups(facts, SLICK_FACTS)
            with stage.timed("slick"):
                _score_slick(stage, engine, slick, source.facts, spec)
        return record(stage, len(chunks), len(slick), spec, source.notes)


def limited(facts: pl.DataFrame, spec: ProbeSpec) -> pl.DataFrame:
    """Return the first `limit` facts of the seeded shuffle of the splits, in key order.

    Raises:
        BadInput: there are none.
    """
    facts = facts.filter(pl.col("split").is_in(spec.splits.split(",")))
    if facts.is_empty():
        raise BadInput(f"--splits {spec.splits} holds no fact of {spec.facts}")
    if spec.limit is None or spec.limit >= facts.height:
        return facts
    order = seeded_order(facts["fact_id"].to_list(), spec.seed)[: spec.limit]
    return facts[order].sort("fact_id")


def _draw(
    stage: StageDirectory, engine: object, chunks: list[list[ClozePrompt]], spec: ProbeSpec
) -> None:
    how = Sampling(
        spec.estimator,
        spec.draws_per_template,
        spec.max_new_tokens,
        spec.temperature,
        spec.seed,
    )
    for index in progress(range(len(chunks)), "probe", len(chunks)):
        if not stage.has_part("probe_prompts", index):
            estimates = sample_prompts(engine, chunks[index], how)  # type: ignore[arg-type]
            keys = [Asked(each.fact_id, each.template_id, len(each.ids)) for each in chunks[index]]
            stage.write_part("probe_prompts", index, prompt_rows(keys, estimates, spec))


def fixed_groups(facts: pl.DataFrame, rows: int) -> list[pl.DataFrame]:
    """Cut facts into groups of so many rows, in the order they stand in."""
    return [facts[start : start + rows] for start in range(0, facts.height, rows)]


def _check_slick(facts: pl.DataFrame, pool: pl.DataFrame, spec: ProbeSpec) -> None:
    """Refuse facts without enough others to show, before anything is drawn."""
    if spec.slick:
        slick_shots(facts, pool, SlickSettings(seed=spec.seed))


def _score_slick(
    stage: StageDirectory,
    engine: Any,
    groups: Sequence[pl.DataFrame],
    pool: pl.DataFrame,
    spec: ProbeSpec,
) -> None:
    how = SlickSettings(batch=spec.batch, seed=spec.seed)
    for index, facts in enumerate(progress(groups, "slick", len(groups))):
        if not stage.has_part("slick", index):
            stage.write_part("slick", index, score_slick(engine, facts, pool, how))


def plan(spec: ProbeSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    source = open_facts(spec.facts)
    facts = limited(source.facts, spec)
    templates = relation_templates(facts, source.templates, spec.templates)
    if spec.server is not None:
        return plan_on_server(spec, facts, templates)
    directory = model_directory(spec.model, spec.revision)
    _check_slick(facts, source.facts, spec)
    tokenizer = load_tokenizer(directory)
    lengths = [
        len(tokenizer(fill(text, row["subject"], row["question"]))["input_ids"])
        for row in facts.iter_rows(named=True)
        for _, text in templates[row["relation"]]
    ]
    draws = len(lengths) * spec.draws_per_template
    slick_answers = answers_per_fact(SlickSettings())
    weights, speed = parameters(directory), operations_per_second(spec.dtype, spec.device)
    return {
        "facts": facts.height,
        "prompts": len(lengths),
        "prompt_tokens": sum(lengths),
        "draws": draws,
        "sampled_tokens_at_most": draws * spec.max_new_tokens,
        "papers_protocol_tokens": facts.height * 21 * 10 * 32,
        **({"slick_answers": facts.height * slick_answers} if spec.slick else {}),
        "estimated_seconds": round(
            forward_seconds(weights, sum(lengths), draws * spec.max_new_tokens, speed)
        ),
    }
