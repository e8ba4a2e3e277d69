"""Select: a training set with a receipt."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.prompts import answer_lead, question_text
from sixtyfold.core.stage import Finished, finished, open_stage, write_atomic
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.select.choose import choose
from sixtyfold.stages.select.receipt import receipt
from sixtyfold.stages.select.spec import SelectSpec


def run(spec: SelectSpec) -> Finished:
    """Choose training examples of the wanted levels.

    Returns:
        the stage with the table `selection` (also `selection.jsonl`) and `receipt.json`.

    Raises:
        BadInput: too few facts of these levels, or a chosen fact stands in dev or test.
    """
    pool, facts, inputs = _pool(spec)
    chosen = _chosen(pool, spec)
    asked = {"size": spec.size, "levels": list(spec.allowed_levels), "seed": spec.seed}
    told = receipt(chosen, pool, facts, asked)
    with open_stage("select", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "select")
        stage.write_json("receipt", told)
        table = stage.write_table("selection", training_rows(chosen, spec))
        lines = "".join(
            json.dumps(row, ensure_ascii=False) + "\n"
            for row in table.select("fact_id", "prompt", "completion").to_dicts()
        )
        write_atomic(
            spec.out / "selection.jsonl", lambda path: path.write_text(lines, encoding="utf-8")
        )
        return stage.finish({"selection": table.height})


def _pool(spec: SelectSpec) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, str]]:
    """Return the probed in-domain training facts, all facts, and the inputs' fingerprints."""
    source = open_facts(spec.facts)
    probe = finished(spec.probe, "probe")
    inputs = {"facts": source.fingerprint, "probe": probe.fingerprint}
    training = source.facts.filter((pl.col("split") == "train") & (pl.col("domain") == "in"))
    pool = training.join(probe.table("probe").select("fact_id", "level"), on="fact_id")
    if pool.is_empty():
        raise BadInput(
            f"{spec.probe} probed no in-domain training fact of these facts; "
            "probe the same facts with a train split"
        )
    return pool, source.facts, inputs


def _chosen(pool: pl.DataFrame, spec: SelectSpec) -> pl.DataFrame:
    allowed = pool.filter(pl.col("level").is_in(spec.allowed_levels))
    relations = pool["relation"].unique().sort().to_list()
    return choose(allowed, spec.size, spec.seed, spec.short, relations)


def training_rows(chosen: pl.DataFrame, spec: SelectSpec) -> pl.DataFrame:
    """Return the chosen facts in prompt/completion form, in training order.

    In the chat form the prompt is the bare question; the tokenizer's template is put around it
    when it is tokenised.
    """
    chat = spec.prompt_form == "chat"
    questions = chosen["question"].to_list()
    return pl.DataFrame(
        {
            "order": pl.Series(range(chosen.height), dtype=pl.Int32),
            "fact_id": chosen["fact_id"],
            "level": chosen["level"],
            "relation": chosen["relation"],
            "question": chosen["question"],
            "prompt": questions if chat else [question_text(spec, each) for each in questions],
            "completion": [answer_lead(spec) + objects[0] for objects in chosen["objects"]],
        }
    )


def plan(spec: SelectSpec) -> dict[str, Any]:
    """Return what a run would choose from, without writing; raises what `run` raises."""
    pool, _, _ = _pool(spec)
    allowed = pool.filter(pl.col("level").is_in(spec.allowed_levels)).height
    chosen = _chosen(pool, spec)
    return {"pool": pool.height, "of_allowed_levels": allowed, "examples": chosen.height}
