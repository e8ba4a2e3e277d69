"""Options of `sixtyfold drift`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import StageSpec
from sixtyfold.sources.options import FactsOption


class DriftSpec(FactsOption, PromptOptions, ModelOptions, StageSpec):
    """Measure how tuning moved the distribution of the first answer token."""

    base: str = "embedded"
    """The model before tuning: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    tuned: str
    """The model after tuning."""

    probe: Path | None = None
    """A finished probe of the base: its level-4 facts are measured. All facts without it."""

    split: Literal["train", "dev", "test"] = "test"
    """Which facts."""

    batch: int = Field(default=64, ge=1)
    """Prompts that run together."""
