"""Options of `sixtyfold run`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sixtyfold.core.matching import MatchMode
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import Spec
from sixtyfold.sources.options import FactsOption


class RunSpec(FactsOption, PromptOptions, ModelOptions, Spec):
    """Walk the whole path: probe, select, tune, evaluate, show what changed, repair, report."""

    out: Path = Path("runs/quickstart")
    """Directory to write. A killed run continues when the same command is given again."""

    plan: bool = False
    """Print what would be done (counts, memory, estimated time) and do nothing."""

    model: str = "embedded"
    """`embedded`, a directory, a .gguf file or a Hugging Face id."""

    train: int = Field(default=180, ge=1)
    """Facts of the training pool to probe at most, in domain."""

    dev: int = Field(default=120, ge=1)
    """Facts everything is chosen on, at most, in domain."""

    test: int = Field(default=240, ge=1)
    """Facts everything is reported on, at most, in and out of domain."""

    templates: int | None = Field(default=7, ge=1)
    """Cloze templates per relation; all of them with None."""

    size: int = Field(default=60, ge=1)
    """Training examples."""

    levels: str = "natural"
    """`natural` (the pool's own mix) or levels such as `2,3`."""

    short: Literal["error", "fill"] = "fill"
    """When a relation supplies too few facts: stop, or fill from the others."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    max_new_tokens: int = Field(default=16, ge=1)
    """Longest answer."""

    seed: int = 0
    """Seed of every choice."""
