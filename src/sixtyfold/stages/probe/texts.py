"""Probing with an engine that gives texts (a server, vLLM): plain draws, matched here.

Such an engine gives no probabilities of a whole vocabulary, so recall is the share of hits. What
lies behind a server's address is known by its name only: the manifest cannot hold a fingerprint of
its weights. vLLM reads the model from here, so its fingerprint is the torch engine's.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.matching import Matcher, matcher
from sixtyfold.core.models import model_directory, model_fingerprint
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.core.templates import fill
from sixtyfold.engines.server_engine import ServerEngine
from sixtyfold.engines.server_options import ServerOptions
from sixtyfold.engines.text_draws import DrawSettings, TextEngine, first_seed
from sixtyfold.engines.vllm_engine import VllmEngine, require_vllm
from sixtyfold.sources.open import FactSet
from sixtyfold.stages.probe.record import Asked, joined, prompt_rows, record
from sixtyfold.stages.probe.sampling import Estimate
from sixtyfold.stages.probe.slick import (
    SLICK_FACTS,
    check_slick,
    fixed_groups,
    score_slick_with_texts,
)
from sixtyfold.stages.probe.slick_examples import SlickSettings
from sixtyfold.stages.probe.spec import ProbeSpec

_ROWS = 192  # draws that vLLM is given at once, unless told
_PROMPTS_A_CHUNK = 64  # of a server, which answers a few at a time


class TextSource(NamedTuple):
    """An engine that is not started yet.

    model: the model's fingerprint, or its name where it is known by that only.
    prompts_a_chunk: prompts that are drawn, and written down, together.
    start: gives the engine for a block.
    planned: what `--plan` says of it.
    """

    model: str
    prompts_a_chunk: int
    start: Callable[[], contextlib.AbstractContextManager[TextEngine]]
    planned: dict[str, str]


def run_on_texts(
    spec: ProbeSpec,
    facts_from: FactSet,
    facts: pl.DataFrame,
    templates: dict[str, list[tuple[int, str]]],
) -> Finished:
    """Draw texts and record recall and level of every fact.

    Args:
        spec: the probe's options, with a server or `--engine vllm`.
        facts_from: the fact set.
        facts: the facts to probe.
        templates: relation to (template_id, text).

    Raises:
        BadInput: the server's address is none, the server or vLLM refuses what is asked, vLLM is
            not installed, there is no such model, or the budget buys too little.
        ServerFailed: it did not answer after all retries; finished chunks are kept.
        VllmFailed: vLLM does not start, or ended; finished chunks are kept.
    """
    check_slick(facts, facts_from.facts, spec.seed if spec.slick else None)
    bought = _bought(spec, facts, templates)
    source = text_source(bought)
    inputs = {"model": source.model, "facts": facts_from.fingerprint}
    with open_stage("probe", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "probe")
        prompts = _prompts(facts, templates, spec)
        starts = range(0, len(prompts), source.prompts_a_chunk)
        slick = []
        with contextlib.ExitStack() as running:
            engine = _started_when_needed(stage, source, running)
            with stage.timed("draw"):
                parts = stage.make_parts(
                    "probe_prompts",
                    [prompts[start : start + source.prompts_a_chunk] for start in starts],
                    lambda chunk: _draw(engine(), chunk, bought),
                    "probe",
                )
            if spec.slick:
                how = SlickSettings(seed=spec.seed)
                with stage.timed("slick"):
                    slick = stage.make_parts(
                        "slick",
                        fixed_groups(facts, SLICK_FACTS),
                        lambda group: score_slick_with_texts(
                            engine(), group, facts_from.facts, how
                        ),
                        "slick",
                    )
        return record(stage, joined(parts), slick, bought, facts_from.notes)


def _bought(
    spec: ProbeSpec, facts: pl.DataFrame, templates: dict[str, list[tuple[int, str]]]
) -> ProbeSpec:
    """Turn a budget into draws; the spec refuses minutes, which buy nothing at an unknown speed."""
    return spec.bought(_count(facts, templates), lambda _: 0.0)


def _count(facts: pl.DataFrame, templates: dict[str, list[tuple[int, str]]]) -> int:
    return sum(len(templates[relation]) for relation in facts["relation"])


def _started_when_needed(
    stage: StageDirectory, source: TextSource, running: contextlib.ExitStack
) -> Callable[[], TextEngine]:
    """Return what gives the engine, started by the first call."""

    @functools.cache
    def engine() -> TextEngine:
        with stage.timed("load"):
            return running.enter_context(source.start())

    return engine


def text_source(spec: ProbeSpec) -> TextSource:
    """Return the engine a spec asks for, checked as far as that costs nothing."""
    if spec.server is not None:
        options = ServerOptions.parse(
            {"url": spec.server, "model": spec.served_model or spec.model}
        )
        return TextSource(
            f"{options.model} at {options.url}",
            _PROMPTS_A_CHUNK,
            lambda: contextlib.nullcontext(ServerEngine(options)),
            {"server": options.url},
        )
    require_vllm()
    directory = model_directory(spec.model, spec.revision)
    return TextSource(
        model_fingerprint(directory),
        max(1, (spec.batch or _ROWS) // round(spec.draws_per_template)),
        lambda: VllmEngine.start(
            directory, spec, spec.dtype, trust_remote_code=spec.trust_remote_code
        ),
        {"engine": "vllm"},
    )


def plan_on_texts(
    spec: ProbeSpec, facts: pl.DataFrame, templates: dict[str, list[tuple[int, str]]]
) -> dict[str, Any]:
    """Return what a run would ask of the engine, asking nothing; raises what a run raises."""
    spec = _bought(spec, facts, templates)
    prompts = _count(facts, templates)
    draws = prompts * round(spec.draws_per_template)
    return {
        "facts": facts.height,
        "prompts": prompts,
        "draws": draws,
        "draws_per_template": spec.draws_per_template,
        "sampled_tokens_at_most": draws * spec.max_new_tokens,
        **text_source(spec).planned,
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
    engine: TextEngine, chunk: list[tuple[Asked, str, Matcher]], spec: ProbeSpec
) -> pl.DataFrame:
    firsts = [first_seed(str(spec.seed), key.fact_id, key.template_id) for key, _, _ in chunk]
    settings = DrawSettings(
        spec.max_new_tokens,
        spec.temperature,
        lambda prompt, draw: firsts[prompt] + draw,
        # Only where containment decides is a draw with an answer in it a hit whatever follows.
        settled=[hits.answers for _, _, hits in chunk] if spec.match == "paper" else (),
    )
    texts = engine.draw([text for _, text, _ in chunk], round(spec.draws_per_template), settings)
    estimates = [
        Estimate.counted(None, [float(hits.hit(each)) for each in drawn], drawn[0])
        for (_, _, hits), drawn in zip(chunk, texts, strict=True)
    ]
    return prompt_rows([key for key, _, _ in chunk], estimates, counts_hits=True)
