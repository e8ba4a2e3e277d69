"""Options of `sixtyfold restore`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from sixtyfold.core.spec import StageSpec
from sixtyfold.core.tensor_names import Region


class RestoreSpec(StageSpec):
    """Write the tuned model with some of its weights put back to their base values."""

    base: str = "embedded"
    """The model before tuning: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    tuned: str
    """The model after tuning; the result has its layout, number format and tokenizer."""

    revision: str | None = None
    """Branch, tag or commit of the base, for a Hugging Face id."""

    rule: Literal["relative", "absolute", "random", "smallest", "interpolation"] = "relative"
    """Which updates go first: largest relative to the base weight (P2), largest, drawn at random,
    smallest; or interpolation, which shrinks every update to the share --alpha."""

    top: float = Field(default=10.0, ge=0, le=100)
    """Percent of the region's weights to put back, ranked over the whole model."""

    alpha: float | None = Field(default=None, ge=0, le=1)
    """Share of every update that is kept; for the rule interpolation, and only there."""

    region: Region = "transformer"
    """Which weights may be put back: transformer (inside the layers, without norms), attention,
    mlp, embeddings, all. The others stay tuned."""

    scope: Literal["model"] = "model"
    """Over what weights are ranked together: the whole model."""

    seed: int = 0
    """Seed of the rule random."""

    @model_validator(mode="after")
    def _alpha_with_interpolation(self) -> Self:
        if (self.rule == "interpolation") != (self.alpha is not None):
            reason = f"alpha was given as {self.alpha} with the rule '{self.rule}'"
            raise ValueError(f"{reason}; give --alpha with --rule interpolation, and only then")
        return self
