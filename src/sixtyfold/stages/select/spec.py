"""Options of `sixtyfold select`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from sixtyfold.core.levels import LEVELS
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import StageSpec


class SelectSpec(PromptOptions, StageSpec):
    """Pick a training set out of probed facts, with a receipt."""

    facts: str = "atlas"
    """`atlas`, `table:FILE`, or a directory written by `sixtyfold facts build`."""

    probe: Path
    """A finished probe of the base model over these facts."""

    levels: str = "natural"
    """`natural` (the pool's own mix) or levels such as `2,3`."""

    size: int = Field(default=60, ge=1)
    """Number of examples."""

    short: Literal["error", "fill"] = "error"
    """When a relation supplies too few facts: stop, or fill from the others."""

    seed: int = 0
    """Seed of the choice."""

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, value: str) -> str:
        parts = [part.strip() for part in value.split(",")]
        if value != "natural" and not all(
            part in {str(level) for level in LEVELS} for part in parts
        ):
            raise ValueError("allowed: natural, or levels 0 to 4 separated by commas")
        return value if value == "natural" else ",".join(sorted(set(parts)))

    @property
    def allowed_levels(self) -> tuple[int, ...]:
        """The levels facts may have."""
        if self.levels == "natural":
            return LEVELS
        return tuple(int(part) for part in self.levels.split(","))
