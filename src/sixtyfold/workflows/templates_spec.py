"""Options of `sixtyfold facts templates`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixtyfold.core.matching import MatchMode
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.spec import StageSpec
from sixtyfold.sources.options import FactsOption, ReadOptions


class FactsTemplatesSpec(FactsOption, ReadOptions, ModelOptions, StageSpec):
    """Measure for a model how well each cloze template brings out the facts of its relation."""

    model: str = "embedded"
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    per_relation: int = Field(default=24, ge=2)
    """Facts of each relation every template is tried on, at most."""

    pilot: int = Field(default=0, ge=0)
    """Facts of each relation to ask first, through questions; templates are then tried on those
    the model knows best. A fact it does not know says nothing about a template. 0: any facts."""

    split: Literal["train", "dev"] = "train"
    """The split they are taken from; templates are never chosen on test facts."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    draws: int = Field(default=1, ge=1)
    """Draws per fact and template."""

    max_new_tokens: int = Field(default=16, ge=1)
    """Length of a draw."""

    batch: int = Field(default=192, ge=1)
    """Rows (prompts × draws) that run together."""

    seed: int = 0
    """Seed of the sample and of every draw."""
