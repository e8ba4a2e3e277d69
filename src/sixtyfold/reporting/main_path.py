"""`sixtyfold run`: the main path and its report."""

from __future__ import annotations

import time
from typing import Any

from sixtyfold.core.atomic_files import read_json, write_json
from sixtyfold.core.cost import forward_seconds, operations_per_second, parameters
from sixtyfold.core.models import model_directory
from sixtyfold.core.verbosity import tell
from sixtyfold.reporting.run import write_report
from sixtyfold.workflows.run import run as walk
from sixtyfold.workflows.run_spec import RunSpec

_CLOZE_TOKENS = 12
_QUESTION_TOKENS = 20
_SHOT_TOKENS = 110
_CHAT_TOKENS = 50
_ANSWER_TOKENS = 8
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

    Token counts are those of typical prompts; the stages' own plans count exactly.
    """
    weights = parameters(model_directory(spec.model, spec.revision))
    prompts = (spec.train + spec.test) * (spec.templates or 21)
    asked = spec.dev + spec.test
    questions = asked * (3 * _QUESTION_TOKENS + _SHOT_TOKENS + _CHAT_TOKENS)
    questions += _CANDIDATES * spec.dev * _QUESTION_TOKENS
    answers = (5 * asked + _CANDIDATES * spec.dev) * _ANSWER_TOKENS
    prefilled, stepped = prompts * _CLOZE_TOKENS + questions, prompts * 32 + answers
    speed = operations_per_second(spec.dtype, spec.device)
    seconds = forward_seconds(weights, prefilled, stepped, speed)
    return {
        "facts": spec.train + spec.dev + spec.test,
        "probe_prompts": prompts,
        "probe_tokens_at_most": prompts * 32,
        "training_examples": spec.size,
        "repair_candidates": _CANDIDATES,
        "answers": 5 * asked + _CANDIDATES * spec.dev,
        "gigabytes_while_training": round(weights * 16 / 1e9, 2),
        "gigabytes_on_disk": round(2 * weights * 4 / 1e9, 2),
        "estimated_minutes": round(seconds / 60, 1),
    }
