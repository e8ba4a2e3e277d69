"""Options of the knowledge watch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from sixtyfold.core.matching import MatchMode
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.sources.options import FactsOption

_TIMES = 5


class WatchSpec(FactsOption, PromptOptions):
    """Ask a small sample of facts while a model trains."""

    probe: Path | None = None
    """A finished probe of the base model: accuracy by level, and KL on its level-4 facts."""

    split: Literal["train", "dev"] = "dev"
    """Facts that are asked."""

    every: int = Field(default=0, ge=0)
    """Ask after so many steps; 0 asks at most five times, evenly spread. Before the first step and
    after the last it is always asked."""

    per_level: int = Field(default=12, ge=1)
    """In-domain facts of each level; without a probe five times as many of all. As many
    out-of-domain facts, where the split has any."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    max_new_tokens: int = Field(default=16, ge=1)
    """Longest answer."""

    batch: int = Field(default=64, ge=1)
    """Questions that run together."""

    most_time: float = Field(default=0.25, gt=0, le=1)
    """Share of the time that asking may take: what would exceed it is left out, and said. Before
    the first step and after the last it is always asked. Not with a rule that keeps a checkpoint,
    which must not depend on the clock: it asks as often as `every` says."""

    keep_best: bool = False
    """End with the weights of the best step by in-domain accuracy, kept on disk meanwhile."""

    lose_at_most: float | None = Field(default=None, ge=0)
    """Points of accuracy on level-4 facts that the best step may be below the highest seen.
    Needs a probe."""

    seed: int = 0
    """Seed of the sample."""

    out: Path | None = None
    """Where tables and the kept weights are written; nowhere without it."""

    @model_validator(mode="after")
    def _rule_can_be_kept(self) -> WatchSpec:
        if self.lose_at_most is not None and (self.probe is None or not self.keep_best):
            raise ValueError("--lose-at-most chooses among kept weights: add keep_best and a probe")
        if self.keep_best and self.out is None:
            raise ValueError("keep_best needs a place for the weights: give out")
        return self

    def every_of(self, steps: int) -> int:
        """Return after how many steps to ask in a training of so many.

        >>> spec = WatchSpec()
        >>> spec.every_of(8), spec.every_of(1000)
        (2, 200)
        """
        return self.every or max(1, -(-steps // _TIMES))

    @property
    def rule(self) -> str | None:
        """The rule in words."""
        if not self.keep_best:
            return None
        words = f"best {self.split} accuracy"
        if self.lose_at_most is None:
            return words
        return f"{words} with at most {self.lose_at_most:g} points lost on level 4"
