"""The probe: recall and level of every fact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sixtyfold.core.cost import (
    forward_seconds,
    operations_per_second,
    parameters,
    tokens_in,
)
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.levels import DRAWS_PER_TEMPLATE
from sixtyfold.core.models import load_tokenizer, model_directory, model_fingerprint
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.core.templates import fill
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.probe.aggregate import wilson_bounds
from sixtyfold.stages.probe.draw_cache import DrawCache
from sixtyfold.stages.probe.parity import parity_specs, run_parity
from sixtyfold.stages.probe.paths import ClozePrompt
from sixtyfold.stages.probe.prompts import cloze_prompts, relation_templates
from sixtyfold.stages.probe.record import record
from sixtyfold.stages.probe.sampling import Sampling
from sixtyfold.stages.probe.slick import SLICK_FACTS, check_slick, fixed_groups, score_slick
from sixtyfold.stages.probe.slick_examples import SlickSettings, answers_per_fact
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.stages.probe.texts import plan_on_texts, run_on_texts

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine


def run(spec: ProbeSpec) -> Finished:
    """Measure recall and level of every fact.

    Returns:
        the stage with the tables `probe` (one row a fact) and `probe_prompts` (one row a prompt),
        and with `slick` where classes were asked for.

    Raises:
        BadInput: a relation has no template, or too few facts to show for SliCK; the model, the
            facts, the server or vLLM are not there.
        ServerFailed: the server did not answer after all retries; finished chunks are kept.
        VllmFailed: vLLM does not start, or ended; finished chunks are kept.
    """
    if spec.parity is not None:
        return run_parity(spec, run)
    source = open_facts(spec.facts)
    facts = limited(source.facts, spec)
    templates = relation_templates(facts, source.templates, spec.templates)
    if spec.drawn_by != "torch":
        return run_on_texts(spec, source, facts, templates)
    directory = model_directory(spec.model, spec.revision)
    inputs = {"model": model_fingerprint(directory), "facts": source.fingerprint}
    check_slick(facts, source.facts, spec.seed if spec.slick else None)
    with open_stage("probe", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "probe")
        from sixtyfold.engines.torch_engine import TorchEngine

        with stage.timed("load"):
            engine = TorchEngine.load(spec.model, spec)
        prompts = cloze_prompts(facts, templates, engine.tokenizer, engine.vocabulary, spec)
        spec = _budgeted(stage, spec, directory, [len(prompt.ids) for prompt in prompts])
        with stage.timed("draw"):
            table = _draw(stage, engine, prompts, spec)
        slick = []
        if spec.slick:
            with stage.timed("slick"):
                slick = _score_slick(stage, engine, facts, source.facts, spec)
        return record(stage, table, slick, spec, source.notes)


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


def _budgeted(
    stage: StageDirectory, spec: ProbeSpec, directory: Path, lengths: list[int]
) -> ProbeSpec:
    """Turn a budget into draws once; a continued probe keeps what was bought then."""
    if spec.budget is None:
        return spec
    if not stage.has_part("budget", 0):
        draws = _bought(spec, directory, lengths).draws
        stage.write_part("budget", 0, pl.DataFrame({"draws": [draws]}))
    return spec.model_copy(update={"draws": stage.read_part("budget", 0)["draws"][0]})


def _bought(spec: ProbeSpec, directory: Path, lengths: list[int]) -> ProbeSpec:
    def sampled_tokens(seconds: float) -> float:
        passes = 1 if spec.evenly else 2  # further draws begin with the prompt again
        speed = operations_per_second(spec.dtype, spec.device)
        return tokens_in(seconds, parameters(directory), passes * sum(lengths), speed)

    return spec.bought(len(lengths), sampled_tokens)


def _draw(
    stage: StageDirectory, engine: TorchEngine, prompts: list[ClozePrompt], spec: ProbeSpec
) -> pl.DataFrame:
    from sixtyfold.engines.memory import rows_that_fit
    from sixtyfold.stages.probe.drawing import Drawing

    how = Sampling(spec.estimator, spec.max_new_tokens, spec.temperature, spec.seed)
    longest = max(len(prompt.ids) for prompt in prompts) + spec.max_new_tokens
    if not stage.has_part("chunking", 0):  # a continued probe must have the same chunks
        fitting = spec.batch or rows_that_fit(engine.model, longest)
        stage.write_part("chunking", 0, pl.DataFrame({"rows": [fitting]}))
    rows = stage.read_part("chunking", 0)["rows"][0]
    cache = None if spec.fresh else DrawCache(_protocol(engine, spec), prompts)
    drawing = Drawing(stage, engine, how, rows, cache)
    if spec.evenly:
        return drawing.even(prompts, round(spec.draws_per_template))
    return drawing.allocated(prompts, spec.draws_per_template)


def _protocol(engine: TorchEngine, spec: ProbeSpec) -> dict[str, Any]:
    """Return what decides a draw apart from its prompt; weights by content."""
    names = ("estimator", "max_new_tokens", "temperature", "seed", "load_in_4bit")
    return {
        "model": engine.fingerprint,
        "number_format": str(next(engine.model.parameters()).dtype),
        "device": engine.device.type,
        **{name: getattr(spec, name) for name in names},
    }


def _score_slick(
    stage: StageDirectory,
    engine: TorchEngine,
    facts: pl.DataFrame,
    pool: pl.DataFrame,
    spec: ProbeSpec,
) -> list[pl.DataFrame]:
    how = SlickSettings(batch=spec.batch or SlickSettings().batch, seed=spec.seed)
    return stage.make_parts(
        "slick",
        fixed_groups(facts, SLICK_FACTS),
        lambda group: score_slick(engine, group, pool, how),
        "slick",
    )


def plan(spec: ProbeSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    if spec.parity is not None:
        return {each.drawn_by: plan(each) for each in parity_specs(spec)}
    source = open_facts(spec.facts)
    facts = limited(source.facts, spec)
    templates = relation_templates(facts, source.templates, spec.templates)
    if spec.drawn_by != "torch":
        return plan_on_texts(spec, facts, templates)
    directory = model_directory(spec.model, spec.revision)
    check_slick(facts, source.facts, spec.seed if spec.slick else None)
    tokenizer = load_tokenizer(directory)
    lengths = [
        len(tokenizer(fill(text, row["subject"], row["question"]))["input_ids"])
        for row in facts.iter_rows(named=True)
        for _, text in templates[row["relation"]]
    ]
    weights = parameters(directory)
    spec = _bought(spec, directory, lengths)
    draws = round(len(lengths) * spec.draws_per_template)
    speed = operations_per_second(spec.dtype, spec.device)
    prefilled = sum(lengths) * (1 if spec.evenly or spec.draws_per_template == 1 else 2)
    at_most = draws * spec.max_new_tokens
    papers = len(lengths) * DRAWS_PER_TEMPLATE * spec.max_new_tokens
    slick = {"slick_answers": facts.height * answers_per_fact(SlickSettings())}
    return {
        "facts": facts.height,
        "prompts": len(lengths),
        "prompt_tokens": sum(lengths),
        "draws": draws,
        "draws_per_template": spec.draws_per_template,
        "sampled_tokens_at_most": at_most,
        "papers_protocol_tokens": papers,
        "fewer_tokens_than_papers": round(papers / at_most, 1),
        "interval_at_most_plus_minus": round(_half_width(draws / facts.height), 3),
        **(slick if spec.slick else {}),
        "estimated_seconds": round(forward_seconds(weights, prefilled, at_most, speed)),
    }


def _half_width(draws: float) -> float:
    """Return half the length of a fact's interval at recall 0.5 if every draw said 0 or 1."""
    low, high = wilson_bounds(0.5, draws, 0.95)
    return (high - low) / 2
