"""Options of `sixtyfold probe`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from sixtyfold.core.facts import SPLITS
from sixtyfold.core.matching import MatchMode
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.spec import StageSpec
from sixtyfold.sources.options import FactsOption


class ProbeSpec(FactsOption, ModelOptions, StageSpec):
    """Measure recall and level of every fact for a base model."""

    model: str = "embedded"
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    splits: str = "train,dev,test"
    """Which splits to probe, separated by commas."""

    server: str | None = None
    """Address of an OpenAI-compatible completions server that draws, such as
    http://127.0.0.1:8000/v1; --model is its model's name there. Needs --estimator draws."""

    limit: int | None = Field(default=None, ge=1)
    """First N facts of a seeded shuffle; all without it."""

    estimator: Literal["survival", "draws"] = "survival"
    """survival (cheap, unbiased) or draws (share of hits, the papers')."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    templates: int | None = Field(default=None, ge=1)
    """First K templates of each relation; all without it."""

    draws: int | None = Field(default=None, ge=1)
    """Draws per template; 1 for survival and 10 for draws without it."""

    max_new_tokens: int = Field(default=32, ge=1)
    """Length of a draw."""

    slick: bool = False
    """Also sort every fact into a SliCK class (arXiv 2405.05904): 170 short answers a fact, to
    few-shot questions. Needs 6 other dev or training facts of each relation."""

    temperature: float = Field(default=0.7, gt=0)
    """Sampling temperature."""

    batch: int = Field(default=192, ge=1)
    """Rows (prompts × draws) that run together."""

    seed: int = 0
    """Seed of the shuffle and of every draw."""

    @field_validator("splits")
    @classmethod
    def _known_splits(cls, value: str) -> str:
        parts = [part.strip() for part in value.split(",")]
        if not parts or not set(parts) <= set(SPLITS):
            raise ValueError(f"allowed: {', '.join(SPLITS)}, separated by commas")
        return ",".join(sorted(set(parts)))

    @model_validator(mode="after")
    def _server_draws_texts(self) -> ProbeSpec:
        if self.server is not None and (self.estimator != "draws" or self.slick):
            raise ValueError(
                "--server gives texts and no probabilities: add --estimator draws and leave "
                "--slick out"
            )
        return self

    @property
    def draws_per_template(self) -> int:
        """Draws per template, the default filled in."""
        return self.draws or (1 if self.estimator == "survival" else 10)
