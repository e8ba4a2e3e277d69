"""Search: candidates applied to one loaded model in memory, judged on dev, tested once.

Every family of repairs is tried at the same remaining norms of the update, and the tuned model
itself is a candidate. Rounds ask ever more dev facts of ever fewer candidates; the rule of the
choice is an option. What is chosen is written down before test is looked at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.checkpoint import Checkpoint, is_adapter
from sixtyfold.core.cost import forward_seconds, operations_per_second
from sixtyfold.core.errors import BadInput
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.models import resolve_device, resolve_dtype
from sixtyfold.core.pair_models import PairModels, find_pair
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.restore.candidates import Candidates
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.run import run as restore
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.workflows import search_arms
from sixtyfold.workflows.card_numbers import put_search_numbers
from sixtyfold.workflows.search_candidates import TUNED, Listed, Pool, pool
from sixtyfold.workflows.search_model import CandidateModel
from sixtyfold.workflows.search_questions import Questions, read_questions
from sixtyfold.workflows.search_rounds import Judged, best_of_each, judge, rounds
from sixtyfold.workflows.search_rule import Rule
from sixtyfold.workflows.search_spec import SearchSpec
from sixtyfold.workflows.search_tables import candidates_table, curve_table


def search(spec: SearchSpec) -> Finished:
    """Judge every candidate on dev, choose one, and score the best of each family on test.

    Returns:
        the stage with the tables `candidates`, `curve` and `answers`, with a test also `test` and
        `test_answers`, and `chosen.json`; with `checkpoint` the model in `restored/`.

    Raises:
        BadInput: no facts to judge or test on, none of level 4 in the first round of a choice
            about them, base and tuned are no pair, or tuning changed nothing.
        IncompleteInput: the probe is not finished.
        Corrupted: a weight is not a finite number.
    """
    models, questions = _inputs(spec)
    with open_stage("search", spec, {**models.inputs, **questions.inputs}) as stage:
        done = (
            finished(spec.out, "search") if stage.complete else _run(spec, models, questions, stage)
        )
    if spec.checkpoint:
        restored = restore(chosen_restore(spec.out, spec.base, spec.tuned, spec.out / "restored"))
        put_search_numbers(done, restored.path)
    return done


def _inputs(spec: SearchSpec) -> tuple[PairModels, Questions]:
    """Find both models and read the questions; raises what `search` raises about them."""
    models = find_pair(spec.base, spec.tuned, spec.revision, allow_pickle=spec.allow_pickle)
    questions = read_questions(spec)
    first = rounds(questions.dev.height, len(spec.top), spec.halvings).facts[0]
    if spec.about_level_4 and LEVELS[-1] not in questions.dev["level"].head(first):
        raise BadInput(
            f"the first round asks {first} of {questions.dev.height} facts, none of level "
            f"{LEVELS[-1]}, which the choice is about; ask all facts of all candidates with "
            "--halvings 0"
        )
    return models, questions


def _run(
    spec: SearchSpec, models: PairModels, questions: Questions, stage: StageDirectory
) -> Finished:
    candidates = Candidates(models.open(), spec.region, spec.seed)
    with stage.timed("candidates"):
        found = pool(candidates, spec)
    plan = rounds(questions.dev.height, len(spec.top), spec.halvings)
    rule = Rule(spec.objective, spec.lose_at_most)
    with CandidateModel(spec, candidates, questions, stage) as model:
        judged = judge(stage, model, found.listed, questions.dev, plan, rule)
    best = best_of_each(judged.order, found.listed, 1)
    tables = _write_dev(stage, spec, found, judged, best)
    if spec.test:
        winners = [found.listed[each] for each in sorted(best)]
        tables |= _write_test(
            stage, spec, search_arms.arms(candidates, winners), questions, candidates
        )
    models.check_unchanged()
    return stage.finish(
        {name: table.height for name, table in tables.items()},
        answered_in=str(resolve_dtype(spec.dtype, resolve_device(spec.device))),
        rounds=plan._asdict(),
        notes=found.notes,
    )


def _write_dev(
    stage: StageDirectory, spec: SearchSpec, found: Pool, judged: Judged, best: list[int]
) -> dict[str, pl.DataFrame]:
    """Write what was found on dev, the choice included."""
    table = candidates_table(found.listed, judged, best)
    tables = {
        "candidates": table,
        "curve": curve_table(found.listed, judged.answers),
        "answers": judged.answers,
    }
    for name, each in tables.items():
        stage.write_table(name, each)
    chosen = table.row(judged.order[0], named=True)
    options = restore_options(found.listed[judged.order[0]], spec)
    stage.write_json("chosen", {**chosen, "rule": spec.rule, "restore": options})
    return tables


def _write_test(
    stage: StageDirectory,
    spec: SearchSpec,
    scored: list[search_arms.Arm],
    questions: Questions,
    candidates: Candidates,
) -> dict[str, pl.DataFrame]:
    """Ask test, after the choice is written down."""
    with CandidateModel(spec, candidates, questions, stage) as model:
        answers = search_arms.ask(stage, model, scored, questions.test)
    tables = {"test": search_arms.arms_table(scored, answers), "test_answers": answers}
    return {name: stage.write_table(name, each) for name, each in tables.items()}


def plan(spec: SearchSpec) -> dict[str, Any]:
    """Return what a search would do, without doing it.

    Raises what `search` raises, but for what only measuring the update tells.
    """
    models, questions = _inputs(spec)
    pair = models.open()
    pair.region(spec.region)
    found = rounds(questions.dev.height, len(spec.top), spec.halvings)
    families = len(spec.families)
    candidates = [1 + families * count for count in found.per_family]
    new = [now - before for now, before in zip(found.facts, [0, *found.facts], strict=False)]
    asked = sum(count * facts for count, facts in zip(candidates, new, strict=True))
    arms = (2 + len(search_arms.FIXED) + families) if spec.test else 0
    answers = {"dev": asked, "test": arms * questions.test.height}
    planned = {
        "candidates": {f"in round {i + 1}": count for i, count in enumerate(candidates)},
        "dev_facts": {f"by round {i + 1}": count for i, count in enumerate(found.facts)},
        "test_facts": questions.test.height,
        "answers": answers,
    }
    loaded = models.base if is_adapter(models.tuned) else models.tuned
    tokens = questions.prompt_tokens(loaded)
    if tokens is not None:
        planned["estimated_seconds_of_answers"] = _seconds(
            spec, pair.tuned, sum(answers.values()), tokens
        )
    return planned


def _seconds(spec: SearchSpec, model: Checkpoint, answers: int, tokens: float) -> int:
    """Estimate how long answering takes; applying candidates comes on top."""
    speed = operations_per_second(spec.dtype, spec.device)
    steps = answers * spec.max_new_tokens
    weights = sum(tensor.numel for tensor in model.tensors.values())
    return round(forward_seconds(weights, round(answers * tokens), steps, speed))


def restore_options(listed: Listed, spec: SearchSpec) -> dict[str, Any]:
    """Return the options of `restore` that write a candidate as a checkpoint.

    The tuned model itself is a restoration of nothing.
    """
    candidate = listed.candidate
    shared = {name: getattr(spec, name) for name in ("region", "seed", "revision")}
    if spec.allow_pickle:
        shared["allow_pickle"] = True
    if listed.family == TUNED:
        return {"rule": "relative", "top": 0.0, **shared}
    if candidate.family in RULES:
        return {"rule": candidate.family, "top": candidate.percent, **shared}
    if candidate.alpha is not None:
        return {"rule": candidate.family, "alpha": candidate.alpha, **shared}
    return {"rule": candidate.family, "remaining": candidate.aim, **shared}


def chosen_restore(directory: Path, base: str, tuned: str, out: Path) -> RestoreSpec:
    """Return the spec that writes what a finished search chose."""
    options = finished(directory, "search").json("chosen")["restore"]
    return RestoreSpec.parse({"base": base, "tuned": tuned, "out": out, **options})
