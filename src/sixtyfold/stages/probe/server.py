"""Probing on a server: plain draws of texts, matched here.

A server gives texts and no probabilities of a whole vocabulary, so recall is the share of hits.
What lies behind the address is known by its name only: the manifest cannot hold a fingerprint of
its weights.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.matching import Matcher, matcher
from sixtyfold.core.progress import progress
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.core.templates import fill
from sixtyfold.engines.server_engine import DrawSettings, ServerEngine, first_seed
from sixtyfold.engines.server_options import ServerOptions
from sixtyfold.sources.open import FactSet
from sixtyfold.stages.probe.record import Asked, prompt_rows, record
from sixtyfold.stages.probe.sampling import Estimate
from sixtyfold.stages.probe.spec import ProbeSpec

_PROMPTS_A_CHUNK = 64


def run_on_server(
    spec: ProbeSpec,
    source: FactSet,
    facts: pl.DataFrame,
    templates: dict[str, list[tuple[int, str]]],
) -> Finished:
    """Draw on the server and record recall and level of every fact.

    Args:
        spec: the probe's options, with a server.
        source: the fact set.
        facts: the facts to probe.
        templates: relation to (template_id, text).

    Raises:
        BadInput: the address is none, or the server refuses what is asked.
        ServerFailed: it did not answer after all retries; finished chunks are kept.
    """
    options = server_options(spec)
    inputs = {"model": f"{options.model} at {options.url}", "facts": source.fingerprint}
    with open_stage("probe", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "probe")
        prompts = _prompts(facts, templates, spec)
        chunks = [
            prompts[start : start + _PROMPTS_A_CHUNK]
            for start in range(0, len(prompts), _PROMPTS_A_CHUNK)
        ]
        engine = ServerEngine(options)
        with stage.timed("draw"):
            for index in progress(range(len(chunks)), "probe", len(chunks)):
                if not stage.has_part("probe_prompts", index):
                    _draw(stage, engine, index, chunks[index], spec)
        return record(stage, len(chunks), 0, spec, source.notes)


def server_options(spec: ProbeSpec) -> ServerOptions:
    """Return the checked address of the server and the model's name there."""
    return ServerOptions.parse({"url": spec.server, "model": spec.model})


def plan_on_server(
    spec: ProbeSpec, facts: pl.DataFrame, templates: dict[str, list[tuple[int, str]]]
) -> dict[str, Any]:
    """Return what a run would ask of the server, asking nothing."""
    prompts = len(_prompts(facts, templates, spec))
    draws = prompts * spec.draws_per_template
    return {
        "facts": facts.height,
        "prompts": prompts,
        "draws": draws,
        "sampled_tokens_at_most": draws * spec.max_new_tokens,
        "server": server_options(spec).url,
    }


def _prompts(
    facts: pl.DataFrame, templates: dict[str, list[tuple[int, str]]], spec: ProbeSpec
) -> list[tuple[Asked, str, Matcher]]:
    return [
        (
            Asked(fact["fact_id"], number, None),
            fill(text, fact["subject"], fact["question"]),
            matcher(spec.match, fact["objects"], fact["subject"]),
        )
        for fact in facts.iter_rows(named=True)
        for number, text in templates[fact["relation"]]
    ]


def _draw(
    stage: StageDirectory,
    engine: ServerEngine,
    index: int,
    chunk: list[tuple[Asked, str, Matcher]],
    spec: ProbeSpec,
) -> None:
    firsts = [first_seed(str(spec.seed), key.fact_id, key.template_id) for key, _, _ in chunk]
    settings = DrawSettings(
        spec.max_new_tokens, spec.temperature, lambda prompt, draw: firsts[prompt] + draw
    )
    texts = engine.draw([text for _, text, _ in chunk], spec.draws_per_template, settings)
    estimates = [
        Estimate(None, [float(hits.hit(each)) for each in drawn], 0, 0, drawn[0])
        for (_, _, hits), drawn in zip(chunk, texts, strict=True)
    ]
    stage.write_part(
        "probe_prompts", index, prompt_rows([key for key, _, _ in chunk], estimates, spec)
    )
