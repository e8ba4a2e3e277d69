"""Plant: a model whose knowledge is known in advance, with its facts."""

from __future__ import annotations

from typing import Any

from sixtyfold.core.checkpoint_saving import save_checkpoint
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.plant.card import write_planted_card
from sixtyfold.stages.plant.corpus import Corpus, build_corpus
from sixtyfold.stages.plant.spec import PlantSpec

_TABLES = ("facts", "templates", "exposures")


def run(spec: PlantSpec) -> Finished:
    """Train a small model on made-up facts, each seen a known number of times.

    A killed run continues from the last state it kept, to the same weights.

    Returns:
        the stage; its directory is an ordinary checkpoint (`--model DIR`) and a fact set
        (`--facts DIR`): tables `facts`, `templates`, and `exposures` (fact_id, times_seen).

    Raises:
        BadInput: the device is not there, or the text cannot be used.
        Corrupted: the state of a killed run is damaged.
    """
    from sixtyfold.core.models import resolve_device

    device = resolve_device(spec.device)
    corpus = build_corpus(spec)
    inputs = {} if spec.text is None else {"text": file_sha256(spec.text)}
    with open_stage("plant", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "plant")
        for name in _TABLES:
            stage.write_table(name, getattr(corpus.world, name))
        with stage.timed("train"):
            described = _train_and_save(stage, corpus, spec, device)
        rows = {name: getattr(corpus.world, name).height for name in _TABLES}
        return stage.finish(rows, texts=len(corpus.tellings) + len(corpus.others), **described)


def _train_and_save(
    stage: StageDirectory, corpus: Corpus, spec: PlantSpec, device: str
) -> dict[str, Any]:
    from sixtyfold.stages.plant.train import train_model

    tokenizer, training = _prepared(corpus, spec, device)
    loss = train_model(training, stage.parts / "training.pt", spec.checkpoint_every)
    save_checkpoint(training.model.to("cpu"), tokenizer, stage.path)
    described = {
        "parameters": training.model.num_parameters(),
        "tokens": spec.passes * sum(len(each) for each in training.ids),
        "steps": len(training.steps),
        "last_loss": loss,
    }
    write_planted_card(stage.path, spec, described)
    return described


def _prepared(corpus: Corpus, spec: PlantSpec, device: str) -> tuple[Any, Any]:
    """Return the tokenizer, and the training before its first step."""
    from sixtyfold.stages.plant.architectures import new_model
    from sixtyfold.stages.plant.tokenizer import encode_texts, train_tokenizer
    from sixtyfold.stages.plant.train import Training

    tokenizer = train_tokenizer(
        [*corpus.tellings, *corpus.world.facts["question"], *corpus.others], spec.vocabulary
    )
    sequences = encode_texts(tokenizer, corpus.tellings, corpus.others)
    return tokenizer, Training(new_model(spec, tokenizer).to(device), sequences, spec)


def plan(spec: PlantSpec) -> dict[str, Any]:
    """Return what a run would train on and how long it would take, without writing anything.

    The time is that of a few real steps, made now.

    Raises:
        BadInput: the device is not there, or the text cannot be used.
    """
    from sixtyfold.core.models import resolve_device
    from sixtyfold.stages.plant.cost import gigabytes, seconds

    device = resolve_device(spec.device)
    corpus = build_corpus(spec)
    _, training = _prepared(corpus, spec, device)
    trained_on = corpus.world.facts.filter(split="train")
    return {
        "facts": corpus.world.facts.height,
        "training_facts_seen": {
            f"{times} times": len(each)
            for (times,), each in sorted(
                trained_on.join(corpus.world.exposures, on="fact_id").group_by("times_seen")
            )
        },
        "texts_per_pass": len(training.ids),
        "tokens": spec.passes * sum(len(each) for each in training.ids),
        "steps": len(training.steps),
        "parameters": training.model.num_parameters(),
        "gigabytes_about": round(gigabytes(training, spec), 3),
        "device": device,
        "estimated_seconds": round(seconds(training), 2),
    }
