"""Options of `sixtyfold tune`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import StageSpec


class TuneSpec(PromptOptions, ModelOptions, StageSpec):
    """Fine-tune a model on a selection, loss on the answer and its end alone."""

    model: str = "embedded"
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    selection: Path
    """A directory written by `sixtyfold select`; its prompt form must be the one given here."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate, AdamW, cosine decay to 0."""

    batch: int = Field(default=8, ge=1)
    """Examples per optimiser step."""

    epochs: int = Field(default=1, ge=1)
    """Passes over the selection."""

    warmup_steps: int = Field(default=0, ge=0)
    """Optimiser steps of linear warm-up."""

    max_length: int = Field(default=512, ge=8)
    """Longest example in tokens; a longer one is an error that names it."""

    lora_rank: int | None = Field(default=None, ge=1)
    """Train a LoRA of this rank on all linear layers and merge it; all weights without it."""

    seed: int = 0
    """Seed of the example order (and of LoRA's start)."""
