"""Search: candidates applied to one loaded model in memory, judged on dev facts.

Every restoration by relative change is paired with the interpolation that leaves the same norm of
the update, and the tuned model itself is a candidate. The best dev accuracy (macro over relations)
is chosen; of equal ones the one nearest to the tuned model.

Norms are those of the float32 weights. The model that answers runs in the number format of
`--dtype`, to which every candidate, the tuned model included, is rounded; the manifest names it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA, accuracy
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.models import (
    model_directory,
    model_fingerprint,
    release_model,
    resolve_device,
    resolve_dtype,
)
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.core.tensor_names import canonical
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.evaluate.answer import answer_facts, with_levels
from sixtyfold.stages.restore.candidates import Candidate, Candidates
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.workflows.search_spec import SearchSpec

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine


def search(spec: SearchSpec) -> Finished:
    """Judge every candidate on dev and choose one.

    Returns:
        the stage with the tables `candidates` and `answers` and with `chosen.json`.

    Raises:
        BadInput: no dev facts, or base and tuned are no pair.
    """
    source = open_facts(spec.facts)
    base, tuned = model_directory(spec.base, spec.revision), model_directory(spec.tuned)
    facts = dev_facts(source.facts, spec)
    inputs = {
        "base": model_fingerprint(base),
        "tuned": model_fingerprint(tuned),
        "facts": source.fingerprint,
    }
    with open_stage("search", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "search")
        candidates = Candidates(open_pair(base, tuned), spec.region, spec.seed)
        listed = matched_candidates(candidates, spec.top)
        _judge(stage, candidates, listed, facts, spec)
        answers = stage.join_parts("answers", len(listed), ["candidate", "fact_id"])
        table = stage.write_table("candidates", _scores(listed, answers))
        stage.write_json("chosen", choose(table))
        rows = {"candidates": table.height, "answers": answers.height}
        answered_in = str(resolve_dtype(spec.dtype, resolve_device(spec.device)))
        return stage.finish(rows, answered_in=answered_in)


def plan(spec: SearchSpec) -> dict[str, Any]:
    """Return what a search would do, without doing it; raises what `search` raises."""
    facts = dev_facts(open_facts(spec.facts).facts, spec)
    open_pair(model_directory(spec.base, spec.revision), model_directory(spec.tuned))
    count = 1 + 2 * len(spec.top)
    return {"candidates": count, "dev_facts": facts.height, "answers": count * facts.height}


def dev_facts(facts: pl.DataFrame, spec: SearchSpec) -> pl.DataFrame:
    """Return the in-domain facts to judge on.

    Raises:
        BadInput: there are none.
    """
    rows = facts.filter((pl.col("split") == spec.split) & (pl.col("domain") == "in"))
    if rows.is_empty():
        raise BadInput(f"--split {spec.split} holds no in-domain fact to judge repairs on")
    if spec.limit is not None:
        rows = rows[seeded_order(rows["fact_id"].to_list(), spec.seed)[: spec.limit]]
    return with_levels(rows.sort("fact_id"), None)


def matched_candidates(candidates: Candidates, percents: tuple[float, ...]) -> list[Candidate]:
    """Return the tuned model, the restorations, and for each its equally strong interpolation."""
    restored = candidates.ranked("relative", list(percents))
    return [
        candidates.tuned,
        *restored,
        *(candidates.interpolation(each.remaining) for each in restored),
    ]


def _judge(
    stage: StageDirectory,
    candidates: Candidates,
    listed: list[Candidate],
    facts: pl.DataFrame,
    spec: SearchSpec,
) -> None:
    """Answer the dev questions with every candidate that was not judged before."""
    if all(stage.has_part("answers", index) for index in range(len(listed))):
        return
    from sixtyfold.engines.torch_engine import TorchEngine

    engine = TorchEngine.load(spec.tuned, spec)

    def judged(numbered: tuple[int, Candidate]) -> pl.DataFrame:
        number, candidate = numbered
        with stage.timed("apply"):
            apply(engine, candidates, candidate)
        with stage.timed("answer"):
            found = answer_facts(engine, facts, spec, spec.match, spec.max_new_tokens, spec.batch)
        found = found.with_columns(candidate=pl.lit(number, dtype=pl.Int16))
        return found.select("candidate", *ANSWERS_SCHEMA)

    try:
        stage.make_parts("answers", list(enumerate(listed)), judged, "search")
    finally:
        # The model kept for the next stage was overwritten; it is no longer what was loaded.
        release_model()


def apply(engine: TorchEngine, candidates: Candidates, candidate: Candidate) -> None:
    """Overwrite the region of a loaded model with a candidate's weights."""
    import torch

    weights = {canonical(name): value for name, value in engine.model.state_dict().items()}
    with torch.no_grad():
        for name, values in candidates.tensors(candidate):
            weights[canonical(name)].copy_(torch.from_numpy(values))


def _scores(listed: list[Candidate], answers: pl.DataFrame) -> pl.DataFrame:
    rows = []
    for index, candidate in enumerate(listed):
        own = answers.filter(pl.col("candidate") == index)
        found = accuracy(own, "in")
        macro = found.macro_relation or found.micro
        if macro is None:
            raise BadInput("the candidates were judged on no in-domain fact")
        rows.append(
            {
                "candidate": index,
                "family": "tuned" if index == 0 else candidate.family,
                "percent": candidate.percent,
                "alpha": candidate.alpha,
                "remaining_norm": candidate.remaining,
                "accuracy": macro.value,
                "low": macro.low,
                "high": macro.high,
                "n": macro.n,
            }
        )
    return pl.DataFrame(rows, schema_overrides={"percent": pl.Float64, "alpha": pl.Float64})


def choose(table: pl.DataFrame) -> dict[str, Any]:
    """Return the row of the best candidate, by the rule at the top of this module."""
    ranked = table.sort(["accuracy", "remaining_norm", "candidate"], descending=[True, True, False])
    return ranked.row(0, named=True)


def chosen_restore(directory: Path, base: str, tuned: str, out: Path) -> RestoreSpec:
    """Return the spec that writes what a finished search chose.

    Where the tuned model itself was best, that is a restoration of nothing.
    """
    found = finished(directory, "search")
    chosen, region = found.json("chosen"), found.manifest["spec"]["region"]
    options: dict[str, Any] = {"base": base, "tuned": tuned, "out": out, "region": region}
    if chosen["family"] == "interpolation":
        return RestoreSpec(**options, rule="interpolation", alpha=chosen["alpha"])
    return RestoreSpec(**options, rule="relative", top=chosen["percent"] or 0.0)
