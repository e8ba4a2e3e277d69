"""Options of `sixtyfold facts`."""

from __future__ import annotations

from pydantic import Field

from sixtyfold.core.spec import Spec, StageSpec
from sixtyfold.sources.options import FactsOption, ReadOptions


class FactsBuildSpec(FactsOption, ReadOptions, StageSpec):
    """Write a fact set, or a sample of it, as tables."""

    train: int | None = Field(default=None, ge=1)
    """Training facts to take at most, in domain, balanced over relations; all without it."""

    dev: int | None = Field(default=None, ge=1)
    """Dev facts to take at most, in domain, balanced over relations; all without it."""

    test: int | None = Field(default=None, ge=1)
    """Test facts to take at most, balanced over all relations; all without it."""

    per_relation: int | None = Field(default=None, ge=1)
    """First N facts of a seeded shuffle of each relation and split; all without it."""

    limit: int | None = Field(default=None, ge=1)
    """First N facts of a seeded shuffle, of what the options above leave."""

    seed: int = 0
    """Seed of the sample and the shuffle."""


class FactsInspectSpec(FactsOption, ReadOptions, Spec):
    """Show counts, answers and traps per relation."""


class FactsListSpec(Spec):
    """Show what can be given as --facts."""
