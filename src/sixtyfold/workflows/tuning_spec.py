"""Options of the `tune` command: those of the stage, and how it is watched and repeated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from sixtyfold.core.matching import MatchMode
from sixtyfold.sources.options import FactsOption
from sixtyfold.stages.tune.spec import TuneSpec


class TuningSpec(FactsOption, TuneSpec):
    """Fine-tune a model on a selection; watch it, try learning rates, or climb a size ladder."""

    places: ClassVar[frozenset[str]] = TuneSpec.places

    probe: Path | None = None
    """A finished probe of the base model: accuracy by level while training and on the ladder."""

    watch: int | None = Field(default=None, ge=0)
    """Ask a sample of dev facts after so many steps (0: five times) and write what is known."""

    watch_per_level: int = Field(default=12, ge=1)
    """In-domain dev facts of each level that are watched."""

    keep_best: bool = False
    """With --watch: end with the weights of the best step on dev instead of the last."""

    lose_at_most: float | None = Field(default=None, ge=0)
    """With --keep-best and --probe: points on level-4 facts the best step may have lost."""

    learning_rates: tuple[float, ...] = ()
    """Learning rates to try in place of --learning-rate; the best on dev is kept."""

    ladder: str | None = None
    """Sizes of a ladder that `sixtyfold select --sizes` wrote, as 60,120,240 or all: train every
    set of every replica and say how many examples are enough."""

    delta: float = Field(default=2.0, gt=0)
    """Points that the smallest sufficient size may be below the best."""

    match: MatchMode = "standard"
    """How answers are judged: paper, standard, strict or loose."""

    answer_tokens: int = Field(default=16, ge=1)
    """Longest answer."""

    @field_validator("learning_rates")
    @classmethod
    def _positive(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        fine = all(0 < value < math.inf for value in values)
        if not fine or len(set(values)) < len(values):
            raise ValueError("allowed: positive numbers, each once, as 1e-5 3e-5 1e-4")
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> TuningSpec:
        if self.keep_best and self.watch is None:
            raise ValueError("--keep-best chooses among watched steps: add --watch STEPS")
        if self.ladder is not None and self.watch is not None:
            raise ValueError("--watch is for one training; leave it out of a --ladder")
        if self.lose_at_most is not None and not (self.keep_best and self.probe is not None):
            raise ValueError("--lose-at-most needs --keep-best and --probe")
        return self

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to try."""
        return self.learning_rates or (self.recipe.learning_rate,)

    def with_rate(self, rate: float, out: Path | None = None) -> TuningSpec:
        """Return these options for one training at one learning rate."""
        one = {"learning_rate": rate, "learning_rates": (), "out": out or self.out}
        return self.model_copy(update=one)

    def stage(self, **changed: object) -> TuneSpec:
        """Return the stage's options, some of them changed."""
        own = {name: getattr(self, name) for name in TuneSpec.model_fields}
        return TuneSpec.parse({**own, **changed})
