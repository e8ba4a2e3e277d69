"""Drift: next-token distributions before and after tuning, one model in memory at a time.

What P2 leaves open is settled here and written into the manifest: the base is given the cloze
prompt (per relation the template of highest recall), the tuned model the question prompt. Beyond
P2, both models are also given the same question prompt and compared over the whole vocabulary.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sixtyfold.core.cost import parameters
from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import load_tokenizer, model_directory, model_fingerprint
from sixtyfold.core.prompts import answer_lead, continuation_ids, question_ids
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.core.templates import fill
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.drift.measures import js, kl, log_probability, top_k_kl
from sixtyfold.stages.drift.spec import DriftSpec

ASSUMPTIONS = (
    "base: cloze prompt, per relation the template of highest mean recall; tuned: question prompt",
    "first answer token only; every level-4 fact of the split, no filter on the continuation",
    "kl_top10 = KL(tuned‖base) over the tuned model's 10 largest logits, each side renormalised",
)


class _Prompts(NamedTuple):
    cloze: list[list[int]]
    question: list[list[int]]
    answer: NDArray[np.int64]


def run(spec: DriftSpec) -> Finished:
    """Measure token drift.

    Returns:
        the stage with the table `drift`, one row a fact.

    Raises:
        BadInput: no fact to measure, or the two models have different vocabularies.
    """
    facts, templates, inputs = _wanted(spec)
    base, tuned = model_directory(spec.base, spec.revision), model_directory(spec.tuned)
    inputs |= {"base": model_fingerprint(base), "tuned": model_fingerprint(tuned)}
    with open_stage("drift", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "drift")
        prompts = _prompts(facts, templates, base, spec)
        table = stage.write_table("drift", _measure(facts, prompts, spec))
        return stage.finish({"drift": table.height}, assumptions=list(ASSUMPTIONS))


def _wanted(spec: DriftSpec) -> tuple[pl.DataFrame, dict[str, str], dict[str, str]]:
    """Return the facts to measure, each relation's template, and the inputs' fingerprints."""
    source = open_facts(spec.facts)
    inputs = {"facts": source.fingerprint}
    facts = source.facts.filter(pl.col("split") == spec.split)
    templates = first_templates(source.templates)
    if spec.probe is not None:
        probe = finished(spec.probe, "probe")
        inputs["probe"] = probe.fingerprint
        known = probe.table("probe").filter(pl.col("level") == 4).select("fact_id")
        facts = facts.join(known, on="fact_id")
        templates |= best_templates(facts, probe.table("probe_prompts"), source.templates)
    if facts.is_empty():
        raise BadInput(
            f"no level-4 fact in split {spec.split} to measure drift on; "
            "probe more facts or leave --probe out"
        )
    return facts.sort("fact_id"), templates, inputs


def best_templates(
    facts: pl.DataFrame, prompts: pl.DataFrame, templates: pl.DataFrame
) -> dict[str, str]:
    """Return each relation's template of highest mean recall over the given facts."""
    ranked = (
        prompts.join(facts.select("fact_id", "relation"), on="fact_id")
        .group_by("relation", "template_id")
        .agg(pl.col("recall_hat").mean())
        .sort(["relation", "recall_hat", "template_id"], descending=[False, True, False])
        .unique("relation", keep="first", maintain_order=True)
        .join(templates, on=["relation", "template_id"])
    )
    return dict(zip(ranked["relation"], ranked["text"], strict=True))


def first_templates(templates: pl.DataFrame) -> dict[str, str]:
    """Return each relation's first template."""
    firsts = templates.sort("template_id").unique("relation", keep="first", maintain_order=True)
    return dict(zip(firsts["relation"], firsts["text"], strict=True))


def _prompts(
    facts: pl.DataFrame, templates: dict[str, str], directory: Path, spec: DriftSpec
) -> _Prompts:
    tokenizer = load_tokenizer(directory)
    cloze, question, answer = [], [], []
    for row in facts.iter_rows(named=True):
        filled = fill(templates[row["relation"]], row["subject"], row["question"])
        cloze.append(list(tokenizer(filled)["input_ids"]))
        question.append(question_ids(tokenizer, spec, row["question"]))
        answer.append(continuation_ids(tokenizer, answer_lead(spec) + row["objects"][0])[0])
    return _Prompts(cloze, question, np.array(answer, dtype=np.int64))


def _measure(facts: pl.DataFrame, prompts: _Prompts, spec: DriftSpec) -> pl.DataFrame:
    base_cloze, base_question = _logits(spec.base, [prompts.cloze, prompts.question], spec)
    (tuned_question,) = _logits(spec.tuned, [prompts.question], spec)
    if base_question.shape != tuned_question.shape:
        raise BadInput(
            f"base has {base_question.shape[1]} tokens, tuned has {tuned_question.shape[1]}; "
            "drift needs one vocabulary"
        )
    kl_top10, covered = top_k_kl(tuned_question, base_cloze)
    return facts.select("fact_id", "relation", "domain").with_columns(
        kl_top10=pl.Series(kl_top10),
        base_mass_top10=pl.Series(covered),
        kl_tuned_base=pl.Series(kl(tuned_question, base_question)),
        kl_base_tuned=pl.Series(kl(base_question, tuned_question)),
        js=pl.Series(js(tuned_question, base_question)),
        answer_logp_base=pl.Series(log_probability(base_question, prompts.answer)),
        answer_logp_tuned=pl.Series(log_probability(tuned_question, prompts.answer)),
    )


def _logits(
    reference: str, prompt_lists: list[list[list[int]]], spec: DriftSpec
) -> list[NDArray[np.float64]]:
    """Return next-token logits [N, V] of a model for each list of prompts."""
    from sixtyfold.engines.greedy import chunks_by_length
    from sixtyfold.engines.torch_engine import TorchEngine

    engine = TorchEngine.load(reference, spec)
    found = []
    for prompts in prompt_lists:
        rows: list[NDArray[np.float64]] = [np.empty(0)] * len(prompts)
        for chunk in chunks_by_length([len(each) for each in prompts], spec.batch):
            logits = engine.prefill([prompts[index] for index in chunk]).logits_BV.float()
            for index, row in zip(chunk, logits.double().cpu().numpy(), strict=True):
                rows[index] = row
        found.append(np.stack(rows))
    del engine
    gc.collect()
    return found


def plan(spec: DriftSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    facts, _, _ = _wanted(spec)
    directory = model_directory(spec.base, spec.revision)
    model_directory(spec.tuned)
    return {"facts": facts.height, "prompts": 3 * facts.height, "weights": parameters(directory)}
