"""Options of `sixtyfold export lm-eval`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from sixtyfold.core.matching import MatchMode
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import StageSpec
from sixtyfold.sources.options import FactsOption


class ExportLmEvalSpec(FactsOption, PromptOptions, StageSpec):
    """Write the questions of a split as a task that lm-eval loads and scores as we do."""

    name: str | None = None
    """The task's name for lm-eval; `sixtyfold_` and the split without it."""

    split: Literal["train", "dev", "test"] = "test"
    """Which facts to ask."""

    limit: int | None = Field(default=None, ge=1)
    """First N facts of a seeded shuffle; all without it."""

    shots: int = Field(default=0, ge=0, le=64)
    """Worked examples from the training split in front of each question."""

    max_new_tokens: int = Field(default=16, ge=1)
    """Longest answer."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    model: str = "embedded"
    """The model whose chat template is put around the questions; for --prompt-form chat alone."""

    revision: str | None = None
    """Branch, tag or commit of a Hugging Face id."""

    seed: int = 0
    """Seed of the shuffle and of the choice of worked examples."""

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str | None) -> str | None:
        if value is not None and not (value.isascii() and value.isidentifier()):
            raise ValueError("allowed: letters, digits and '_', not beginning with a digit")
        return value

    @property
    def task(self) -> str:
        """The task's name, the default filled in."""
        return self.name or f"sixtyfold_{self.split}"
