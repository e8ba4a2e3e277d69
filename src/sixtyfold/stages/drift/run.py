"""Drift: next-token distributions before and after tuning, one model in memory at a time.

What P2 leaves open is settled here and written into the manifest: the base is given the cloze
prompt (per relation the template of highest recall), the tuned model the question prompt. Beyond
P2, both models are also given the same question prompt and compared over the whole vocabulary, at
every token of the right answer.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.cost import forward_seconds, operations_per_second, parameters
from sixtyfold.core.models import model_directory, model_fingerprint
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.drift.passes import Work, run_passes
from sixtyfold.stages.drift.prediction import both_answers, counted, drift_prediction, outcomes
from sixtyfold.stages.drift.prompts import (
    P2_LEVEL,
    answer_rows,
    fixed_chunks,
    one_tokenizer,
    prompts_of,
    wanted,
    without_cloze,
)
from sixtyfold.stages.drift.spec import DriftSpec
from sixtyfold.stages.drift.summary import drift_summary
from sixtyfold.stages.drift.tokens import MOVED, most_moved

ASSUMPTIONS = (
    "kl_top10: tuned model's 10 largest logits at the first answer token, each side normalised",
    "kl_top10: the base gets the cloze, the relation's best template on its level-4 facts",
    "kl_top10: the tuned model gets the question; P2 reports the mean over level-4 facts",
    "all else: both get the question in the base's tokens, then the first accepted answer",
    "no filter on what the models themselves go on to say",
    f"a token counts as moved in a fact where its probability changed by more than {MOVED}",
)


def run(spec: DriftSpec) -> Finished:
    """Measure token drift.

    Returns:
        the stage with the tables `drift` (one row a fact), `drift_positions` (one row a token of
        its answer), `drift_summary`, `drift_tokens` and, with answers, `drift_prediction`.

    Raises:
        BadInput: no fact to measure, the two models have different vocabularies, the answers are
            to other facts, or the disk has no room.
    """
    found = wanted(spec)
    base, tuned = model_directory(spec.base, spec.revision), model_directory(spec.tuned)
    tokenizer = one_tokenizer(base, tuned)
    inputs = found.inputs | {"base": model_fingerprint(base), "tuned": model_fingerprint(tuned)}
    answers = both_answers(spec)
    known = None
    if answers is not None:
        inputs |= {"answers_base": answers[0].fingerprint, "answers_tuned": answers[1].fingerprint}
        known = outcomes(found.facts.select("fact_id"), answers[0].table, answers[1].table)
    with open_stage("drift", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "drift")
        prompts = prompts_of(found, tokenizer, spec)
        chunks = fixed_chunks(prompts, spec.batch, len(tokenizer))
        run_passes(stage, Work(found.facts, prompts, chunks), spec)
        extra = {"without_cloze": without_cloze(found)}
        return _record(stage, len(chunks), known, tokenizer, spec, extra)


def _record(
    stage: StageDirectory, chunks: int, known: pl.DataFrame | None, tokenizer: Any,
    spec: DriftSpec, extra: dict[str, Any],
) -> Finished:  # fmt: skip
    """Join the parts, write the tables made from them, and finish."""
    facts = stage.join_parts("drift", chunks, ["fact_id"])
    positions = stage.join_parts("drift_positions", chunks, ["fact_id", "position"])
    sums = (stage.read_part("drift_tokens", index) for index in range(chunks))
    tables = {
        "drift_summary": drift_summary(facts, positions),
        "drift_tokens": most_moved(sums, facts.height, tokenizer, spec.tokens),
    }
    if known is not None:
        told = facts.join(known, on="fact_id")
        tables["drift_prediction"] = drift_prediction(told, spec.seed)
        extra["prediction_rests_on"] = counted(told, facts.height)
    for name, table in tables.items():
        stage.write_table(name, table)
    summary = tables["drift_summary"]
    return stage.finish(
        {"drift": facts.height, "drift_positions": positions.height}
        | {name: table.height for name, table in tables.items()},
        assumptions=list(ASSUMPTIONS),
        p2=_p2(summary),
        mass_outside={
            side: {"mean": _round(column.mean()), "largest": _round(column.max())}
            for side, column in (("base", facts["outside_base"]), ("tuned", facts["outside_tuned"]))
        },
        shared_ids=stage.read_part("drift_tokens", 0).height,
        **extra,
    )


def _p2(summary: pl.DataFrame) -> dict[str, Any] | None:
    """Return P2's figure: the mean of kl_top10 over level-4 facts; None without such facts."""
    rows = summary.filter(
        (pl.col("split") == "level")
        & (pl.col("group") == str(P2_LEVEL))
        & (pl.col("measure") == "kl_top10")
    )
    if rows.is_empty():
        return None
    row = rows.row(0, named=True)
    return {name: _round(row[name]) for name in ("mean", "low", "high")} | {"n": row["n"]}


def _round(value: Any) -> float | None:
    return None if value is None else round(float(value), 6)


def plan(spec: DriftSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    found = wanted(spec)
    base, tuned = model_directory(spec.base, spec.revision), model_directory(spec.tuned)
    tokenizer = one_tokenizer(base, tuned)
    answers = both_answers(spec)
    if answers is not None:
        outcomes(found.facts.select("fact_id"), answers[0].table, answers[1].table)
    prompts = prompts_of(found, tokenizer, spec)
    chunks = fixed_chunks(prompts, spec.batch, len(tokenizer))
    tokens = sum(map(len, prompts.cloze)) + 2 * sum(
        len(question) + len(answer) - 1
        for question, answer in zip(prompts.question, prompts.answer, strict=True)
    )
    rows = answer_rows(prompts, range(len(prompts.answer)))
    weights = parameters(base)
    speed = operations_per_second(spec.dtype, spec.device)
    return {
        "facts": found.facts.height,
        "prompts": 3 * found.facts.height,
        "answer_tokens": rows,
        "tokens": tokens,
        "scratch_bytes": 4 * rows * len(tokenizer),
        "logit_bytes_at_a_time": 8 * len(tokenizer) * max(answer_rows(prompts, c) for c in chunks),
        "weights": weights,
        "estimated_seconds": round(forward_seconds(weights, tokens, 0, speed)),
    }
