"""Train with TRL's `SFTTrainer`, from the beginning or from the last complete state."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from accelerate.utils import patch_environment
from transformers import PrinterCallback, TrainerCallback

from sixtyfold.core.progress import progress_bar
from sixtyfold.stages.tune.arguments import RECORDED, trainer_arguments
from sixtyfold.stages.tune.examples import Example
from sixtyfold.stages.tune.processes import Processes
from sixtyfold.stages.tune.proof import Step, check_dataset, check_ends, check_steps, steps_of
from sixtyfold.stages.tune.resume import KeepStates, last_state
from sixtyfold.stages.tune.spec import TuneSpec
from sixtyfold.stages.tune.trainer import ProvingTrainer
from sixtyfold.stages.tune.weights import lora


class Trained(NamedTuple):
    """What was trained: counted while it ran, not computed beforehand."""

    trainer: ProvingTrainer
    steps: list[Step]
    settings: dict[str, Any]
    """The trainer's own options that decide the result."""


class Setting(NamedTuple):
    """Where a training runs."""

    device: str
    processes: Processes
    folder: Path
    """Where its states are kept."""


def train(
    model: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    spec: TuneSpec,
    setting: Setting,
    callbacks: Sequence[TrainerCallback] = (),
) -> Trained:
    """Train a model in place.

    Args:
        model: as `read_trainable` returned it.
        tokenizer: its tokenizer.
        examples: the training examples.
        spec: the options given.
        setting: device, processes and folder.
        callbacks: further callbacks of transformers.

    Raises:
        BadInput: options do not fit together or a package is missing.
        OtherResult: the states kept are those of another number of processes.
        SixtyfoldError: what was trained is not what was asked for, or the loss is not a number.
        OSError: a state cannot be written.
    """
    arguments = trainer_arguments(spec, setting.device, setting.processes, setting.folder)
    check_ends(examples, tokenizer.eos_token_id)
    # PEFT asks models by a name that transformers is about to drop.
    silent = warnings.catch_warnings(action="ignore", category=FutureWarning)
    with silent, patch_environment(**_tensorboard_folder(spec.out)):
        trainer = ProvingTrainer(
            examples,
            tokenizer.eos_token_id,
            setting.processes,
            model=model,
            args=arguments,
            processing_class=tokenizer,
            peft_config=lora(spec),
        )
    trainer.remove_callback(PrinterCallback)
    check_dataset(list(trainer.train_dataset)[:-1], examples)  # the last is the filler
    state = last_state(setting.folder, setting.processes)
    with progress_bar("tune", spec.recipe.steps(len(examples))) as advance:
        trainer.add_callback(_EachStep(advance))
        for each in callbacks:
            if hasattr(each, "attach"):  # adds itself, to reach the trainer's log and trackers
                each.attach(trainer)
            else:
                trainer.add_callback(each)
        kept = KeepStates(setting.folder, spec.checkpoint_every, setting.processes)
        trainer.add_callback(kept)
        trainer.train(resume_from_checkpoint=None if state is None else str(state))
    steps = steps_of(trainer.state.log_history)
    check_steps(steps, len(examples), spec.recipe)
    return Trained(trainer, steps, _settings(arguments))


class _EachStep(TrainerCallback):  # type: ignore[misc]
    """Call a function after every optimiser step."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self.advance = advance

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.advance()


def _tensorboard_folder(out: Path) -> dict[str, str]:
    """Return where tensorboard writes: not into the trainer's own folder, which is removed."""
    name = "TENSORBOARD_LOGGING_DIR"
    return {name: os.environ.get(name, str(out / "tensorboard"))}


def _settings(arguments: Any) -> dict[str, Any]:
    """Return the trainer's options that decide the result, as JSON values."""
    found = {name: getattr(arguments, name) for name in RECORDED}
    return {name: getattr(value, "value", value) for name, value in found.items()}
