"""Options of `sixtyfold tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import Spec, StageSpec

Preset = Literal["small", "ye2025"]
Optimizer = Literal["adamw", "adamw-8bit"]

PRESETS: dict[str, dict[str, float | int]] = {
    "small": {"learning_rate": 1e-4, "batch": 8, "epochs": 1},
    "ye2025": {"learning_rate": 1e-5, "batch": 8, "epochs": 1},
}
"""What a preset fills in where an option is not given."""


class Recipe(NamedTuple):
    """The options a preset decides, as they are used; `epochs` is None with `max_steps`."""

    learning_rate: float
    batch: int
    epochs: int | None
    max_steps: int | None

    def steps(self, examples: int) -> int:
        """Return the number of optimiser steps over so many examples.

        >>> Recipe(1e-4, 8, 2, None).steps(60), Recipe(1e-4, 8, None, 100).steps(60)
        (16, 100)
        """
        if self.max_steps is not None:
            return self.max_steps
        return self.steps_per_pass(examples) * (self.epochs or 1)

    def steps_per_pass(self, examples: int) -> int:
        """Return the optimiser steps of one pass; the last batch may be smaller."""
        return -(-examples // self.batch)


class TuneSpec(PromptOptions, ModelOptions, StageSpec):
    """Fine-tune a model on a selection, loss on the answer and its end alone."""

    #: How often a checkpoint is kept and who is told of the losses changes no weight.
    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {"checkpoint_every", "report_to"}

    model: str = "embedded"
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    selection: Path
    """A directory written by `sixtyfold select`; its prompt form must be the one given here."""

    preset: Preset = "small"
    """small (learning rate 1e-4) or ye2025 (arXiv 2509.16596: 1e-5); both batch 8, 1 epoch."""

    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate, AdamW, cosine decay to 0; the preset's where not given."""

    batch: int | None = Field(default=None, ge=1)
    """Examples per optimiser step, over all processes; the preset's where not given."""

    accumulate: int = Field(default=1, ge=1)
    """Parts in which a batch is run to save memory; must divide it."""

    epochs: int | None = Field(default=None, ge=1)
    """Passes over the selection; the preset's where neither this nor --max-steps is given."""

    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps, however many passes that takes: equal for selections of unequal size."""

    warmup_steps: int = Field(default=0, ge=0)
    """Optimiser steps of linear warm-up."""

    optimizer: Optimizer = "adamw"
    """adamw, or adamw-8bit: Adam's two states in 8 bit (needs bitsandbytes and a CUDA GPU)."""

    max_length: int = Field(default=512, ge=8)
    """Longest example in tokens; a longer one is an error that names it."""

    lora_rank: int | None = Field(default=None, ge=1)
    """Train a LoRA of this rank on all linear layers and merge it; all weights without it."""

    keep_adapter: bool = False
    """Also keep the LoRA, unmerged, in the folder `adapter`."""

    checkpoint_every: int | None = Field(default=None, ge=0)
    """Steps between states kept until the end, from which a killed run continues; 0: none; every
    10 minutes without it."""

    report_to: str = "none"
    """Trackers told of every step, as transformers names them: none, tensorboard, wandb, mlflow,
    trackio; several with commas. They must be installed."""

    seed: int = 0
    """Seed of the example order (and of LoRA's start)."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("preset", "small") not in PRESETS:
            return values  # told by the fields' own checks
        filling: dict[str, Any] = dict(PRESETS[values.get("preset", "small")])
        if values.get("max_steps") is not None:
            filling.pop("epochs")
        return {**values, **{key: filling[key] for key in filling if values.get(key) is None}}

    @model_validator(mode="after")
    def _options_fit_together(self) -> Self:
        if self.max_steps is not None and self.epochs is not None:
            raise ValueError(
                f"--max-steps {self.max_steps} and --epochs {self.epochs} were both given; "
                "give one of them"
            )
        if self.recipe.batch % self.accumulate:
            raise ValueError(
                f"--batch {self.batch} cannot be run in {self.accumulate} equal parts; "
                "--accumulate must divide --batch"
            )
        if self.lora_rank is None and (self.keep_adapter or self.load_in_4bit):
            option = "--keep-adapter" if self.keep_adapter else "--load-in-4bit"
            raise ValueError(f"{option} is for a LoRA; give --lora-rank (16, say) with it")
        return self

    @property
    def recipe(self) -> Recipe:
        """The resolved options of the preset."""
        if self.learning_rate is None or self.batch is None:
            raise TypeError("a TuneSpec is validated before it is used")
        return Recipe(self.learning_rate, self.batch, self.epochs, self.max_steps)
