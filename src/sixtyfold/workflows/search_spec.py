"""Options of `sixtyfold search`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sixtyfold.core.matching import MatchMode
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.tensor_names import Region
from sixtyfold.sources.options import FactsOption


class SearchSpec(FactsOption, PromptOptions, ModelOptions, StageSpec):
    """Find the repair that answers most dev questions; test is not looked at."""

    base: str = "embedded"
    """The model before tuning: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    tuned: str
    """The model after tuning."""

    split: Literal["train", "dev"] = "dev"
    """Facts the candidates are judged on."""

    limit: int | None = Field(default=None, ge=1)
    """First N facts of a seeded shuffle; all without it."""

    top: tuple[float, ...] = (1, 3, 5, 10, 20, 40, 60)
    """Percentages of weights to put back, by relative change; each is paired with the
    interpolation to the base that leaves the same norm of the update."""

    region: Region = "transformer"
    """The weights that repairs may touch."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    max_new_tokens: int = Field(default=16, ge=1)
    """Longest answer."""

    batch: int = Field(default=64, ge=1)
    """Questions that run together."""

    seed: int = 0
    """Seed of the shuffle."""
