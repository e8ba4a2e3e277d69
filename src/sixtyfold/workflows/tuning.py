"""The `tune` command: the stage, watched; or several of it, compared on dev.

one set, one rate    `--out` is the tuned checkpoint
--learning-rates     `--out/rate-1e-05` … are tried on dev, the best is `--out/tuned`
--ladder             see `ladder.py`
"""

from __future__ import annotations

import os
from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput, IncompleteInput
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.stages.tune import run as tune
from sixtyfold.workflows.card_numbers import put_chosen_numbers
from sixtyfold.workflows.several_trainings import (
    best_rate,
    inputs_of,
    questions,
    rate_scores,
    trained_answers,
)
from sixtyfold.workflows.tuning_spec import TuningSpec
from sixtyfold.workflows.watch_figures import read_watched
from sixtyfold.workflows.watch_files import forget_weights
from sixtyfold.workflows.watch_spec import WatchSpec


def run(spec: TuningSpec) -> Finished:
    """Tune as asked.

    Returns:
        the stage `tune`, whose directory is the checkpoint; with several learning rates
        `tune-rates` with the tables `rates` and `answers` and the checkpoint in `tuned`; with a
        ladder what `ladder.run_ladder` returns.

    Raises:
        BadInput: see the stage; there are no dev facts to choose on; a size is not in the ladder.
        SixtyfoldError: a training was not what was asked for.
    """
    _check_one_set(spec)
    if spec.ladder is None and len(spec.rates) == 1:
        return _tune(spec.with_rate(spec.rates[0]))
    refuse_several_processes(spec)
    if spec.ladder is not None:
        from sixtyfold.workflows.ladder import run_ladder

        return run_ladder(spec)
    return _try_rates(spec)


def plan(spec: TuningSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    if spec.ladder is not None:
        from sixtyfold.workflows.ladder import plan_ladder

        return plan_ladder(spec)
    _check_one_set(spec)
    one = tune.plan(spec.stage(learning_rate=spec.rates[0]))
    if spec.watch is not None:
        own = watch_options(spec)
        every = own.every_of(one["steps"])
        times = 1 + -(-one["steps"] // every)
        asked = read_watched(own).facts.height
        one = {**one, "watched_steps_at_most": times, "watch_questions_at_most": times * asked}
    if len(spec.rates) == 1:
        return one
    refuse_several_processes(spec)
    asked = questions(spec, ("dev",)).height
    trainings = len(spec.rates) + 1
    return {
        **one,
        "learning_rate": ", ".join(f"{rate:g}" for rate in spec.rates),
        "trainings": trainings,
        "questions": len(spec.rates) * asked,
        "estimated_seconds": one["estimated_seconds"] * trainings,
    }


def _check_one_set(spec: TuningSpec) -> None:
    """Refuse a ladder of training sets where one set is tuned on."""
    if spec.ladder is None and (spec.selection / "ladder.parquet").is_file():
        one = finished(spec.selection, "select-ladder").table("ladder")["path"][0]
        raise IncompleteInput(
            f"{spec.selection} holds several training sets; add --ladder all, or give one of "
            f"them: --selection {spec.selection / one}"
        )


def refuse_several_processes(spec: TuningSpec) -> None:
    """Refuse several trainings, one after the other, where a launcher started several processes.

    Raises:
        BadInput: it did.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1:
        option = "--learning-rates" if spec.ladder is None else "--ladder"
        raise BadInput(
            f"{option} trains and asks in one process and {count} were started; start it without "
            "accelerate launch"
        )


def _tune(spec: TuningSpec) -> Finished:
    """Train one set at one rate, watched where that is asked for."""
    if spec.watch is None:
        return tune.run(spec.stage())
    from sixtyfold.workflows.watch import KnowledgeWatch

    own = watch_options(spec)
    watch = KnowledgeWatch(**{name: getattr(own, name) for name in WatchSpec.model_fields})
    done = tune.run(spec, [watch], watch.inputs)
    if not int(os.environ.get("RANK", "0")):
        forget_weights(spec.out / "watch")  # they are the checkpoint
    return done


def watch_options(spec: TuningSpec) -> WatchSpec:
    """Return the options of the watch of a training."""
    return WatchSpec(
        facts=spec.facts,
        probe=spec.probe,
        every=spec.watch or 0,
        per_level=spec.watch_per_level,
        match=spec.match,
        max_new_tokens=spec.answer_tokens,
        prompt_form=spec.prompt_form,
        system_prompt=spec.system_prompt,
        keep_best=spec.keep_best,
        lose_at_most=spec.lose_at_most,
        seed=spec.seed,
        out=spec.out / "watch",
    )


def _try_rates(spec: TuningSpec) -> Finished:
    selection = finished(spec.selection, "select")
    with open_stage("tune-rates", spec, inputs_of(spec, selection)) as stage:
        if stage.complete:
            return finished(spec.out, "tune-rates")
        facts = questions(spec, ("dev",))

        def tried(rate: float) -> pl.DataFrame:
            answers = trained_answers(stage, spec, spec.selection, rate, facts)
            return answers.with_columns(learning_rate=pl.lit(rate))

        answers = pl.concat(stage.make_parts("answers", spec.rates, tried, "rates"))
        stage.write_table("answers", answers)
        table = stage.write_table("rates", rate_scores(answers))
        rate = best_rate(table)
        stage.write_json("chosen", {"learning_rate": rate})
        tuned = _tune(spec.with_rate(rate, spec.out / "tuned"))
        put_chosen_numbers(tuned.path, answers.filter(pl.col("learning_rate") == rate))
        return stage.finish({"rates": table.height, "answers": answers.height})
