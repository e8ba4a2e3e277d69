"""Options of `sixtyfold plant`."""

from __future__ import annotations

from pydantic import Field, field_validator

from sixtyfold.core.spec import StageSpec


class PlantSpec(StageSpec):
    """Train a tiny model from scratch on made-up facts, each seen a known number of times."""

    subjects: int = Field(default=100, ge=8, le=400)
    """Made-up subjects; each has one fact of every relation."""

    relations: int = Field(default=3, ge=2, le=4)
    """Relations; the last one is out of domain."""

    exposures: tuple[int, ...] = (0, 2, 10, 50)
    """How often a fact is seen in one pass; each number gets an equal share of the facts."""

    layers: int = Field(default=2, ge=1)
    """Transformer layers."""

    hidden: int = Field(default=128, ge=16, multiple_of=8)
    """Width of the model."""

    passes: int = Field(default=3, ge=1)
    """Passes over the sentences."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate, AdamW, cosine decay to 0."""

    batch: int = Field(default=16, ge=1)
    """Sentences per optimiser step."""

    seed: int = 0
    """Seed of the names, the facts, their splits and the training."""

    @field_validator("exposures")
    @classmethod
    def _some_exposure(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 0 or max(value) == 0 or len(set(value)) != len(value):
            raise ValueError("allowed: different whole numbers from 0, one of them above 0")
        return value
