"""Train with TRL's `SFTTrainer`, and prove what it trained on."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.models import cpu_has_bfloat16
from sixtyfold.core.progress import progress_bar
from sixtyfold.stages.tune.examples import IGNORED, Example
from sixtyfold.stages.tune.spec import TuneSpec


class Trained(NamedTuple):
    """What was trained: counted while it ran, not computed beforehand."""

    model: Any
    examples_seen: int
    target_tokens_seen: int
    steps: int
    losses: list[float]


class _CountingCollator:
    """Count the examples and target tokens that reach the model."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate
        self.examples = 0
        self.targets = 0

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        batch = self.collate(rows)
        self.examples += len(rows)
        self.targets += int((batch["labels"] != IGNORED).sum())
        return batch


def train(model: Any, tokenizer: Any, examples: Sequence[Example], spec: TuneSpec) -> Trained:
    """Train a float32 model in place and return it with the counts.

    Raises:
        SixtyfoldError: what was trained is not what was asked for, or the loss is not a number.
    """
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import SFTTrainer

    rows = Dataset.from_list([{"input_ids": e.input_ids, "labels": e.labels} for e in examples])
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            args=trainer_arguments(spec, scratch, model),
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=_lora(spec),
        )
        trainer.remove_callback(PrinterCallback)
        check_dataset(trainer.train_dataset, examples)
        counting = _CountingCollator(trainer.data_collator)
        trainer.data_collator = counting
        with progress_bar("tune", planned_steps(examples, spec)) as advance:
            trainer.add_callback(_each_step(advance))
            trainer.train()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        trained = trainer.model
        if spec.lora_rank is not None:
            trained = trained.merge_and_unload()
        found = Trained(
            trained, counting.examples, counting.targets, trainer.state.global_step, losses
        )
    check_trained(found, examples, spec)
    return found


def planned_steps(examples: Sequence[Example], spec: TuneSpec) -> int:
    """Return the number of optimiser steps."""
    return -(-len(examples) // spec.batch) * spec.epochs


def _each_step(advance: Callable[[], None]) -> Any:
    """Return a trainer callback that calls `advance` after every optimiser step."""
    from transformers import TrainerCallback

    class EachStep(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            advance()

    return EachStep()


def trainer_arguments(spec: TuneSpec, scratch: str, model: Any) -> Any:
    """Return the `SFTConfig` of a spec; nothing is saved, reported or shown by the trainer."""
    from trl import SFTConfig

    on_cpu = model.device.type == "cpu"
    # The name of one option below differs between supported versions of transformers.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        return SFTConfig(
            output_dir=scratch,
            per_device_train_batch_size=spec.batch,
            num_train_epochs=spec.epochs,
            learning_rate=spec.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=spec.warmup_steps,
            max_length=None,
            packing=False,
            bf16=(not on_cpu) or cpu_has_bfloat16(),
            use_cpu=on_cpu,
            gradient_checkpointing=False,
            logging_steps=1,
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=spec.seed,
            data_seed=spec.seed,
            dataloader_pin_memory=False,
        )


def check_dataset(dataset: Any, examples: Sequence[Example]) -> None:
    """Assert that the trainer holds every example with exactly our ids and labels."""
    if len(dataset) != len(examples):
        raise SixtyfoldError(
            f"the trainer kept {len(dataset)} of {len(examples)} examples; none may be dropped"
        )
    for row, example in zip(dataset, examples, strict=True):
        same = row["input_ids"] == example.input_ids and row["labels"] == example.labels
        if not same:
            raise SixtyfoldError(f"the trainer changed example {example.fact_id}")


def check_trained(found: Trained, examples: Sequence[Example], spec: TuneSpec) -> None:
    """Assert examples, target tokens, steps and loss of a finished training."""
    steps = planned_steps(examples, spec)
    targets = sum(example.targets for example in examples) * spec.epochs
    wanted = (len(examples) * spec.epochs, targets, steps)
    seen = (found.examples_seen, found.target_tokens_seen, found.steps)
    if wanted != seen:
        raise SixtyfoldError(
            f"trained (examples, target tokens, steps) {seen}, asked for {wanted}; "
            "nothing was saved"
        )
    broken = [index + 1 for index, loss in enumerate(found.losses) if not math.isfinite(loss)]
    if broken:
        raise SixtyfoldError(
            f"the loss of step {broken[0]} is not a number; lower --learning-rate; "
            "nothing was saved"
        )


def _lora(spec: TuneSpec) -> Any:
    if spec.lora_rank is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=spec.lora_rank,
        lora_alpha=2 * spec.lora_rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
