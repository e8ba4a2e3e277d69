"""Options of `sixtyfold drift`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from sixtyfold.core.levels import LEVELS
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import Spec, StageSpec
from sixtyfold.sources.options import FactsOption


class DriftSpec(FactsOption, PromptOptions, ModelOptions, StageSpec):
    """Measure how tuning moved the distribution of the answer's tokens."""

    #: Places; the manifest carries the fingerprints of what lies there.
    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {"answers_base", "answers_tuned"}

    base: str = "embedded"
    """The model before tuning: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    tuned: str
    """The model after tuning."""

    probe: Path | None = None
    """A finished probe of the base: only its facts are measured, and split by level."""

    levels: str = "all"
    """With a probe: levels of the facts to measure, such as `4` or `0,1,2`; or `all`."""

    split: Literal["train", "dev", "test"] = "test"
    """Which facts."""

    answers_base: Path | None = None
    """Answers of the base to these facts (`evaluate` or a table); with `--answers-tuned`: does
    drift predict which of them are lost?"""

    answers_tuned: Path | None = None
    """Answers of the tuned model to these facts."""

    tokens: int = Field(default=25, ge=1)
    """How many of the tokens that moved most are listed in each direction."""

    batch: int = Field(default=64, ge=1)
    """Most facts that run together."""

    seed: int = 0
    """Seed of the permutations in the test of lost facts."""

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, value: str) -> str:
        if value.strip() == "all":
            return "all"
        parts = [part.strip() for part in value.split(",")]
        if not all(part in {str(level) for level in LEVELS} for part in parts):
            raise ValueError("allowed: all, or levels from 0 to 4 such as 4 or 0,1,2")
        return ",".join(sorted(set(parts)))

    @model_validator(mode="after")
    def _options_that_go_together(self) -> Self:
        if self.levels != "all" and self.probe is None:
            raise ValueError(
                f"--levels {self.levels} was given without --probe; levels come from a probe"
            )
        if (self.answers_base is None) != (self.answers_tuned is None):
            raise ValueError(
                "one of --answers-base and --answers-tuned was given; lost facts need both"
            )
        return self

    @property
    def level_numbers(self) -> tuple[int, ...]:
        """The levels to measure."""
        return LEVELS if self.levels == "all" else tuple(map(int, self.levels.split(",")))
