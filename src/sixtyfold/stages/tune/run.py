"""Tune: a checkpoint out of a selection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sixtyfold.core.checkpoint_saving import save_checkpoint
from sixtyfold.core.cost import forward_seconds, operations_per_second, parameters
from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import (
    load_tokenizer,
    model_directory,
    model_fingerprint,
    model_licence,
    read_model,
    resolve_device,
)
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage, write_atomic
from sixtyfold.stages.tune.examples import Example, encode_examples
from sixtyfold.stages.tune.spec import TuneSpec


def run(spec: TuneSpec) -> Finished:
    """Fine-tune on a selection.

    Returns:
        the stage; its directory is also an ordinary checkpoint (safetensors, tokenizer, chat
        template), with `training.json`: examples, target tokens, steps and losses as counted.

    Raises:
        BadInput: a row is empty or too long, or was selected in another prompt form.
        Corrupted: the model's files are damaged.
        SixtyfoldError: the training was not what was asked for; nothing is saved then.
    """
    selection = finished(spec.selection, "select")
    _check_form(selection, spec)
    directory = model_directory(spec.model, spec.revision)
    inputs = {"model": model_fingerprint(directory), "selection": selection.fingerprint}
    with open_stage("tune", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "tune")
        tokenizer = load_tokenizer(directory)
        examples = encode_examples(selection.table("selection"), tokenizer, spec, spec.max_length)
        with stage.timed("train"):
            report = _train_and_save(stage, directory, tokenizer, examples, spec)
        return stage.finish({"examples": len(examples)}, training=report)


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


def _train_and_save(
    stage: StageDirectory, directory: Path, tokenizer: Any, examples: list[Example], spec: TuneSpec
) -> dict[str, Any]:
    from transformers import set_seed

    from sixtyfold.stages.tune.train import train

    set_seed(spec.seed)
    model = read_model(directory, trust_remote_code=spec.trust_remote_code, dtype="float32")
    trained = train(model.to(resolve_device(spec.device)), tokenizer, examples, spec)
    save_checkpoint(trained.model, tokenizer, stage.path)
    report = {
        "examples": trained.examples_seen,
        "target_tokens": trained.target_tokens_seen,
        "steps": trained.steps,
    }
    stage.write_json("training", {**report, "losses": trained.losses})
    card = model_card(spec, report, model_licence(directory, spec.model))
    write_atomic(stage.path / "README.md", lambda path: path.write_text(card, encoding="utf-8"))
    return report


def model_card(spec: TuneSpec, report: dict[str, Any], licence: str | None) -> str:
    """Return the README of a tuned checkpoint, with the hub's header."""
    header = "---\nlibrary_name: transformers\n"
    header += f"license: {licence}\n" if licence else ""
    header += f"base_model: {spec.model}\n" if "/" in spec.model else ""
    kind = "all weights" if spec.lora_rank is None else f"LoRA of rank {spec.lora_rank}, merged"
    return (
        f"{header}tags: [sixtyfold]\n---\n"
        f"Tuned by sixtyfold from `{spec.model}`: {report['examples']} examples, "
        f"{report['target_tokens']} learned tokens, {report['steps']} steps, {kind}, "
        f"learning rate {spec.learning_rate}, prompt form {spec.prompt_form}.\n\n"
        "What was trained on: `manifest.json`, `training.json`.\n"
    )


def plan(spec: TuneSpec) -> dict[str, Any]:
    """Return what a run would do, without doing it; raises what `run` raises."""
    selection = finished(spec.selection, "select")
    directory = model_directory(spec.model, spec.revision)
    examples = encode_examples(
        selection.table("selection"), load_tokenizer(directory), spec, spec.max_length
    )
    weights = parameters(directory)
    tokens = sum(len(example.input_ids) for example in examples) * spec.epochs
    speed = operations_per_second("float32", spec.device)
    return {
        "examples": len(examples),
        "target_tokens": sum(example.targets for example in examples) * spec.epochs,
        "steps": -(-len(examples) // spec.batch) * spec.epochs,
        "gigabytes_of_weights_gradients_and_adam": round(weights * 16 / 1e9, 2),
        "estimated_seconds": round(3 * forward_seconds(weights, tokens, 0, speed)),
    }
