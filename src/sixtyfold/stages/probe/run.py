"""The probe: recall and level of every fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from sixtyfold.core.cost import forward_seconds, operations_per_second, parameters
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.levels import DRAWS_PER_TEMPLATE
from sixtyfold.core.models import load_tokenizer, model_directory, model_fingerprint
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.core.templates import fill
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.probe.aggregate import level_from, recall_of
from sixtyfold.stages.probe.prompts import chunk_prompts, cloze_prompts, relation_templates
from sixtyfold.stages.probe.sampling import ClozePrompt, Estimate, Sampling, sample_prompts
from sixtyfold.stages.probe.slick import SlickSettings, answers_per_fact, score_slick, slick_shots
from sixtyfold.stages.probe.spec import ProbeSpec

SLICK_FACTS = 8  # facts a chunk: 80 prompts, 1,360 answers
_SLICK = "; SliCK: 10 four-shot prompts × (1 greedy + 16 samples at T 0.5, top-40), exact match"
_LIST = pl.List(pl.Float64())


def run(spec: ProbeSpec) -> Finished:
    """Measure recall and level of every fact.

    Returns:
        the stage with the tables `probe` (one row a fact) and `probe_prompts` (one row a prompt).

    Raises:
        BadInput: a relation has no template, or the model or facts are not there.
    """
    source = open_facts(spec.facts)
    facts = limited(source.facts, spec)
    directory = model_directory(spec.model, spec.revision)
    inputs = {"model": model_fingerprint(directory), "facts": source.fingerprint}
    templates = relation_templates(facts, source.templates, spec.templates)
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
        return _record(stage, len(chunks), len(slick), spec, source.notes)


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
            stage.write_part("probe_prompts", index, _prompt_rows(chunks[index], estimates, how))


def _prompt_rows(
    prompts: Sequence[ClozePrompt], estimates: Sequence[Estimate], how: Sampling
) -> pl.DataFrame:
    plain = how.estimator == "draws"
    return pl.DataFrame(
        {
            "fact_id": [each.fact_id for each in prompts],
            "template_id": pl.Series([each.template_id for each in prompts], dtype=pl.Int16),
            "first_prob": pl.Series([each.first_prob for each in estimates], dtype=pl.Float64),
            "draws": pl.Series([len(each.values) for each in estimates], dtype=pl.Int32),
            "hits": pl.Series(
                [int(sum(each.values)) if plain else None for each in estimates], dtype=pl.Int32
            ),
            "recall_hat": [float(np.mean(each.values)) for each in estimates],
            "recall_var": pl.Series(
                [_variance(each.values) for each in estimates], dtype=pl.Float64
            ),
            "values": pl.Series([each.values for each in estimates], dtype=_LIST),
            "tokens_prompt": pl.Series([len(each.ids) for each in prompts], dtype=pl.Int32),
            "tokens_scored": pl.Series([each.tokens_scored for each in estimates], dtype=pl.Int32),
            "tokens_drawn": pl.Series([each.tokens_drawn for each in estimates], dtype=pl.Int32),
            "example": [each.example for each in estimates],
        }
    )


def _variance(values: list[float]) -> float | None:
    """Variance of the mean of the draws, or None for a single draw."""
    return float(np.var(values, ddof=1) / len(values)) if len(values) > 1 else None


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


def _record(
    stage: StageDirectory, chunks: int, slick: int, spec: ProbeSpec, notes: Sequence[str]
) -> Finished:
    prompts = stage.join_parts("probe_prompts", chunks, ["fact_id", "template_id"])
    rows = [
        _fact_row(str(key[0]), group, spec)
        for key, group in prompts.group_by("fact_id", maintain_order=True)
    ]
    schema: dict[str, Any] = {
        "level": pl.Int8,
        "draws": pl.Int32,
        "k_templates": pl.Int16,
        "level_probs": _LIST,
    }
    found = pl.DataFrame(rows, schema_overrides=schema).sort("fact_id")
    if slick:
        classes = stage.join_parts("slick", slick, ["fact_id"])
        found = found.join(classes.select("fact_id", "slick"), on="fact_id", maintain_order="left")
    table = stage.write_table("probe", found)
    tokens = {name: int(prompts[name].sum()) for name in _TOKENS}
    return stage.finish(
        {"probe": table.height, "probe_prompts": prompts.height},
        tokens=tokens,
        notes=list(notes),
        protocol=f"level of K × {DRAWS_PER_TEMPLATE} plain draws at T {spec.temperature}, "
        f"{spec.max_new_tokens} tokens, match {spec.match}" + (_SLICK if spec.slick else ""),
    )


_TOKENS = ("tokens_prompt", "tokens_scored", "tokens_drawn")


def _fact_row(fact_id: str, prompts: pl.DataFrame, spec: ProbeSpec) -> dict[str, object]:
    estimates = [
        Estimate(row["first_prob"], row["values"], 0, 0, "")
        for row in prompts.iter_rows(named=True)
    ]
    recall, level = recall_of(estimates), level_from(estimates)
    return {
        "fact_id": fact_id,
        "recall": recall.value,
        "recall_low": recall.low,
        "recall_high": recall.high,
        "level": level.level,
        "level_prob": level.probability,
        "level_probs": level.probabilities,
        "draws": int(prompts["draws"].sum()),
        "k_templates": prompts.height,
        "estimator": spec.estimator,
        "match": spec.match,
        "engine": "torch",
    }


def plan(spec: ProbeSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    source = open_facts(spec.facts)
    facts = limited(source.facts, spec)
    directory = model_directory(spec.model, spec.revision)
    templates = relation_templates(facts, source.templates, spec.templates)
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
