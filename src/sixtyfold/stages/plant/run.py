"""Plant: a model whose knowledge is known in advance, with its facts."""

from __future__ import annotations

from typing import Any

from sixtyfold.core.checkpoint_saving import save_checkpoint
from sixtyfold.core.stage import Finished, StageDirectory, finished, open_stage
from sixtyfold.stages.plant.corpus import Corpus, build_corpus
from sixtyfold.stages.plant.spec import PlantSpec


def run(spec: PlantSpec) -> Finished:
    """Train a tiny model on made-up facts, each seen a known number of times.

    Returns:
        the stage; its directory is an ordinary checkpoint (`--model DIR`) and a fact set
        (`--facts DIR`): tables `facts`, `templates`, and `exposures` (fact_id, times_seen).
    """
    with open_stage("plant", spec, {}) as stage:
        if stage.complete:
            return finished(spec.out, "plant")
        corpus = build_corpus(spec)
        for name in ("facts", "templates", "exposures"):
            stage.write_table(name, getattr(corpus, name))
        with stage.timed("train"):
            described = _train_and_save(stage, corpus, spec)
        rows = {name: getattr(corpus, name).height for name in ("facts", "templates", "exposures")}
        return stage.finish(rows, sentences=len(corpus.sentences), **described)


def _train_and_save(stage: StageDirectory, corpus: Corpus, spec: PlantSpec) -> dict[str, Any]:
    from sixtyfold.stages.plant.train import new_model, train_model, train_tokenizer

    tokenizer = train_tokenizer([*corpus.sentences, *corpus.facts["question"]])
    model = new_model(spec, tokenizer)
    loss = train_model(model, tokenizer, corpus.sentences, spec)
    save_checkpoint(model, tokenizer, stage.path)
    return {"parameters": model.num_parameters(), "last_loss": loss}


def plan(spec: PlantSpec) -> dict[str, Any]:
    """Return what a run would train on, without training."""
    corpus = build_corpus(spec)
    steps = -(-len(corpus.sentences) // spec.batch) * spec.passes
    return {"facts": corpus.facts.height, "sentences": len(corpus.sentences), "steps": steps}
