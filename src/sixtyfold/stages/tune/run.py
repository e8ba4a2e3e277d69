"""Tune: a checkpoint out of a selection."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sixtyfold.core.checkpoint_saving import save_checkpoint
from sixtyfold.core.cost import (
    bytes_per_second,
    forward_seconds,
    operations_per_second,
    update_seconds,
)
from sixtyfold.core.errors import BadInput
from sixtyfold.core.model_origin import origin
from sixtyfold.core.models import (
    load_tokenizer,
    model_directory,
    model_fingerprint,
    resolve_device,
)
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.tune.arguments import check_options
from sixtyfold.stages.tune.card import write_adapter_card, write_tuned_card
from sixtyfold.stages.tune.examples import Example, encode_examples
from sixtyfold.stages.tune.memory import Training, device_memory, planned_training, refuse_if_short
from sixtyfold.stages.tune.processes import (
    Processes,
    examples_at_once,
    join_processes,
    one_line_errors,
    peers,
)
from sixtyfold.stages.tune.spec import TuneSpec

if TYPE_CHECKING:
    from transformers import TrainerCallback

    from sixtyfold.stages.tune.train import Trained


def run(
    spec: TuneSpec,
    callbacks: Sequence[TrainerCallback] = (),
    inputs: Mapping[str, str] = MappingProxyType({}),
) -> Finished:
    """Fine-tune on a selection.

    Started by `accelerate launch` this runs in every process; the first one alone writes.

    Args:
        spec: the options.
        callbacks: further callbacks of transformers, called while it trains.
        inputs: name to fingerprint of what they read, where that decides the result.

    Returns:
        the stage; its directory is also an ordinary checkpoint (safetensors, tokenizer, chat
        template), with `training.json`: examples, target tokens and steps as counted, loss,
        learning rate and examples of every step.

    Raises:
        BadInput: a row is empty or too long, or was selected in another prompt form; options do
            not fit together; the device has too little memory.
        Corrupted: the model's files are damaged.
        SixtyfoldError: the training was not what was asked for; nothing is saved then.
        OSError: a file cannot be written; what stood there before stays.
    """
    device = resolve_device(spec.device)
    processes = join_processes(device)
    selection = _checked_selection(spec, device, processes)
    with one_line_errors(processes), contextlib.ExitStack() as held:
        directory = processes.main_first(lambda: model_directory(spec.model, spec.revision))

        def opened() -> StageDirectory:
            read = {"model": model_fingerprint(directory), "selection": selection.fingerprint}
            return held.enter_context(open_stage("tune", spec, {**read, **inputs}))

        stage = processes.together(processes.main, opened)
        if processes.from_main(stage is not None and stage.complete):
            return finished(spec.out, "tune")
        tokenizer = load_tokenizer(directory)
        examples = encode_examples(selection.table("selection"), tokenizer, spec, spec.max_length)
        _fitting_training(directory, examples, spec, device, processes)
        here = _Here(directory, tokenizer, examples, device, processes)
        trained = _train(stage, here, spec, callbacks)
        processes.together(True, lambda: _save(stage, trained, here, spec))
        return finished(spec.out, "tune")


def _checked_selection(spec: TuneSpec, device: str, processes: Processes) -> Finished:
    """Return the selection; refuse what is known to be wrong before a model is read."""
    examples_at_once(spec.recipe.batch, spec.accumulate, processes.number)
    check_options(spec, device)
    selection = finished(spec.selection, "select")
    _check_form(selection, spec)
    return selection


def _check_form(selection: Finished, spec: TuneSpec) -> None:
    """Refuse a selection whose prompts have another form, or another system prompt."""
    for name in PromptOptions.model_fields:
        theirs, ours = selection.manifest["spec"].get(name), getattr(spec, name)
        if theirs != ours:
            option = f"--{name.replace('_', '-')}"
            raise BadInput(
                f"{spec.selection} was selected with {option} {theirs}, {ours} was given; "
                "use the same"
            )


def _fitting_training(
    directory: Path, examples: list[Example], spec: TuneSpec, device: str, processes: Processes
) -> Training:
    """Return what decides the training's memory; refuse one that model or device cannot hold."""
    longest = max(examples, key=lambda example: len(example.input_ids))
    training = planned_training(directory, spec, device, len(longest.input_ids), processes)
    room = training.shape.context
    if room is not None and len(longest.input_ids) > room:
        raise BadInput(
            f"training row {longest.fact_id} has {len(longest.input_ids)} tokens, {spec.model} "
            f"reads at most {room}; drop the row"
        )
    _check_warmup(spec, len(examples))
    refuse_if_short(training, _free(device, processes), device)
    return training


def _check_warmup(spec: TuneSpec, examples: int) -> None:
    steps = spec.recipe.steps(examples)
    if spec.warmup_steps >= steps:
        raise BadInput(
            f"--warmup-steps {spec.warmup_steps} leaves none of {steps} steps at the learning "
            "rate given; give fewer"
        )


def _free(device: str, processes: Processes) -> float:
    """Return the bytes free for each process; those on processors share them and decide alike."""
    if device == "cpu":
        return processes.from_main(device_memory(device) / processes.number)
    return device_memory(device)


class _Here(NamedTuple):
    """What a training is made from, and where it runs."""

    directory: Path
    tokenizer: Any
    examples: list[Example]
    device: str
    processes: Processes


def _train(
    stage: StageDirectory | None,
    here: _Here,
    spec: TuneSpec,
    callbacks: Sequence[TrainerCallback],
) -> Trained:
    from transformers import set_seed

    from sixtyfold.stages.tune.train import Setting, train
    from sixtyfold.stages.tune.weights import read_trainable

    set_seed(spec.seed)
    with _timed(stage, "load"):
        model = read_trainable(here.directory, spec, here.device, here.processes)
    setting = Setting(here.device, here.processes, spec.out / "parts" / "training")
    with _timed(stage, "train"):
        return train(model, here.tokenizer, here.examples, spec, setting, callbacks)


def _timed(stage: StageDirectory | None, what: str) -> AbstractContextManager[None]:
    """Time a block where this process writes."""
    return contextlib.nullcontext() if stage is None else stage.timed(what)


def _save(stage: StageDirectory | None, trained: Trained, here: _Here, spec: TuneSpec) -> None:
    """Write the result, manifest last; in processes that do not write, help gather weights."""
    from sixtyfold.stages.tune.proof import counts
    from sixtyfold.stages.tune.weights import whole_model

    directory, tokenizer = here.directory, here.tokenizer
    with _timed(stage, "save"):
        whole = whole_model(trained.trainer, directory, spec, spec.out / "adapter")
        if stage is None or whole is None:
            return
        report = counts(trained.steps, here.examples)
        record = _record(trained, here.examples, tokenizer)
        save_checkpoint(whole.model, tokenizer, stage.path, whole.state_dict)
        stage.write_json("training", {**report, **record})
        read = stage.identity["inputs"]
        base = origin(spec.model, directory, read["model"])
        write_tuned_card(stage.path, spec, base, finished(spec.selection), {**report, **record})
        if spec.keep_adapter:
            write_adapter_card(stage.path / "adapter", spec, base)
    done = {**report, **peers(here.processes)}
    stage.finish({"examples": len(here.examples)}, training=done)


def _record(trained: Trained, examples: list[Example], tokenizer: Any) -> dict[str, Any]:
    """Return what `training.json` says beyond the counts."""
    chosen = trained.trainer.state.best_global_step  # by a callback that put its weights back
    return {
        "weights_of_step": len(trained.steps) if chosen is None else chosen,
        "losses": [step.loss for step in trained.steps],
        "learning_rates": [step.learning_rate for step in trained.steps],
        "examples_of_steps": [
            [examples[row].fact_id for row in step.rows] for step in trained.steps
        ],
        "end_token": tokenizer.eos_token,
        "settings": trained.settings,
    }


def plan(spec: TuneSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    device = resolve_device(spec.device)
    processes = join_processes(device)
    selection = _checked_selection(spec, device, processes)
    directory = model_directory(spec.model, spec.revision)
    examples = encode_examples(
        selection.table("selection"), load_tokenizer(directory), spec, spec.max_length
    )
    training = _fitting_training(directory, examples, spec, device, processes)
    seen = planned_rows(len(examples), spec)
    tokens = sum(len(example.input_ids) for example in examples) * seen / len(examples)
    targets = sum(example.targets for example in examples) * seen / len(examples)
    speed = operations_per_second(spec.dtype, device)
    steps, trained = spec.recipe.steps(len(examples)), training.needs().gradients / 4
    seconds = 3 * forward_seconds(training.shape.parameters, round(tokens), 0, speed)
    seconds += update_seconds(trained, steps, bytes_per_second(device))
    return {
        "examples": len(examples),
        "examples_seen": seen,
        "target_tokens": round(targets),
        "steps": steps,
        "examples_at_once": examples_at_once(spec.recipe.batch, spec.accumulate, processes.number),
        "processes": processes.number,
        "learning_rate": spec.learning_rate,
        **training.needs().in_gigabytes(),
        "gigabytes_free": round(_free(device, processes) / 1e9, 2),
        "estimated_seconds": round(seconds, 1),
    }


def planned_rows(examples: int, spec: TuneSpec) -> int:
    """Return how many examples all steps together train on, repeats counted."""
    recipe = spec.recipe
    passes, left = divmod(recipe.steps(examples), recipe.steps_per_pass(examples))
    return passes * examples + left * recipe.batch
