"""`sixtyfold run`: the main path and its report."""

from __future__ import annotations

import time
from typing import Any

import polars as pl

from sixtyfold.core.atomic_files import read_json, write_json
from sixtyfold.core.cost import forward_seconds, operations_per_second, parameters
from sixtyfold.core.facts import SPLITS
from sixtyfold.core.models import load_tokenizer, model_directory
from sixtyfold.core.verbosity import tell
from sixtyfold.reporting.run import write_report
from sixtyfold.sources.build import sampled
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.probe.prompts import relation_templates
from sixtyfold.workflows.asking import ways_of
from sixtyfold.workflows.run import check_size, facts_of
from sixtyfold.workflows.run import run as walk
from sixtyfold.workflows.run_spec import RunSpec

_CLOZE_TOKENS = 12
_QUESTION_TOKENS = 20
_TOKENS = {"base": _QUESTION_TOKENS, "base-fewshot": 110, "base-chat": 50}
"""Tokens of a question, by the way in which the base is asked."""
_ANSWER_TOKENS = 8
_DRAW_TOKENS = 32
_CANDIDATES = 15


def run(spec: RunSpec) -> dict[str, Any]:
    """Walk the main path, write the report and return the summary.

    Raises:
        What the stages raise.
    """
    start = time.monotonic()

    def announce(step: str) -> None:
        tell(f"[{time.monotonic() - start:5.0f} s] {step}")

    summary = walk(spec, announce)
    announce("report")
    before = time.monotonic()
    write_report(spec.out)
    timings = read_json(spec.out / "timings.json")
    timings["report"] = round(time.monotonic() - before, 3)
    timings["total"] = round(time.monotonic() - start, 3)
    write_json(spec.out / "timings.json", timings)
    return summary


def plan(spec: RunSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it (the model itself is fetched if needed).

    Facts and prompts are counted; token counts are those of typical prompts, which the stages' own
    plans count exactly.

    Raises:
        BadInput: the facts cannot be read, a split is empty, or `size` is larger than the pool.
    """
    directory = model_directory(spec.model, spec.revision)
    weights, ways = parameters(directory), ways_of(load_tokenizer(directory))
    source = open_facts(spec.facts)
    facts = sampled(source.facts, facts_of(spec))
    check_size(facts, spec)
    probed = facts.filter(pl.col("split") != "dev")
    clozes = relation_templates(probed, source.templates, spec.templates)
    prompts = sum(len(clozes[relation]) for relation in probed["relation"])
    counts = {split: facts.filter(split=split).height for split in SPLITS}
    asked, tried = counts["dev"] + counts["test"], _CANDIDATES * counts["dev"]
    of_base = sum(_TOKENS[name] for name in ways)
    questions = asked * (2 * _QUESTION_TOKENS + of_base) + tried * _QUESTION_TOKENS
    answers = (2 + len(ways)) * asked + tried
    prefilled = prompts * _CLOZE_TOKENS + questions
    stepped = prompts * _DRAW_TOKENS + answers * _ANSWER_TOKENS
    speed = operations_per_second(spec.dtype, spec.device)
    seconds = forward_seconds(weights, prefilled, stepped, speed)
    return {
        "facts": counts,
        "probe_prompts": prompts,
        "probe_tokens_at_most": prompts * _DRAW_TOKENS,
        "training_examples": spec.size,
        "repair_candidates": _CANDIDATES,
        "answers": answers,
        "gigabytes_while_training": round(weights * 16 / 1e9, 2),
        "gigabytes_on_disk": round(2 * weights * 4 / 1e9, 2),
        "estimated_minutes": round(seconds / 60, 1),
    }
