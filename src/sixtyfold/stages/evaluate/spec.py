"""Options of `sixtyfold evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from sixtyfold.core.matching import MatchMode
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import StageSpec
from sixtyfold.sources.options import FactsOption


class EvaluateSpec(FactsOption, PromptOptions, ModelOptions, StageSpec):
    """Ask a model questions and record every answer."""

    model: str = "embedded"
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    split: Literal["train", "dev", "test"] = "test"
    """Which facts to ask."""

    probe: Path | None = None
    """A finished probe of the base model, for accuracy by level."""

    selection: Path | None = None
    """A training set: ask its facts alone (with --split train), to see what was learned of it."""

    limit: int | None = Field(default=None, ge=1)
    """First N facts of a seeded shuffle; all without it."""

    shots: int = Field(default=0, ge=0, le=64)
    """Worked examples from the training split in front of each question."""

    max_new_tokens: int = Field(default=16, ge=1)
    """Longest answer."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    batch: int | None = Field(default=None, ge=1)
    """Questions that run together; what memory allows without it."""

    seed: int = 0
    """Seed of the shuffle and of the choice of worked examples."""

    @model_validator(mode="after")
    def _a_training_set_holds_training_facts(self) -> Self:
        if self.selection is not None and self.split != "train":
            raise ValueError("--selection names a training set; give --split train with it")
        return self
