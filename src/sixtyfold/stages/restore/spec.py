"""Options of `sixtyfold restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from sixtyfold.core.spec import StageSpec
from sixtyfold.core.tensor_names import Layers, Region
from sixtyfold.stages.restore.names import FamilyName, RuleName


def _read_top(top: object) -> float | str | None:
    """Check percentages, a number, a list or a text; one alone becomes a number."""
    if top is None:
        return None
    parts = top if isinstance(top, list | tuple) else str(top).split(",")
    try:
        percents = [float(part) for part in parts]
    except (TypeError, ValueError):
        raise ValueError("percentages are given as 20 or as 1,3,5") from None
    if not percents or not all(0 <= percent <= 100 for percent in percents):
        raise ValueError("a percentage is 0 to 100")
    if len(set(percents)) < len(percents):
        raise ValueError("each percentage is given once")
    return percents[0] if len(percents) == 1 else ",".join(map(_short, percents))


def _short(percent: float) -> str:
    """Return a number with all its digits, whole ones without a point."""
    return repr(percent).removesuffix(".0")


class RestoreSpec(StageSpec):
    """Write the tuned model with some of its weights put back to their base values."""

    base: str = "embedded"
    """The model before tuning: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    tuned: str
    """The model after tuning, or a LoRA adapter of the base (read as the merged model); the result
    has its layout, number format and tokenizer."""

    revision: str | None = None
    """Branch, tag or commit of the base, for a Hugging Face id."""

    allow_pickle: bool = False
    """Also read weights stored as pickles (.bin, .pt), a format that can carry code; with torch's
    loader that builds nothing but tensors. Only for files you trust."""

    rule: FamilyName = "relative"
    """Which updates go first: largest relative to the base weight (P2), largest, drawn at random,
    smallest; or interpolation, which shrinks every update to the share --alpha; or another family
    of 'sixtyfold search', set by --remaining."""

    top: Annotated[float | str | None, BeforeValidator(_read_top)] = None
    """Percent of the region's weights to put back, 10 unless given; several, as 1,3,5,10, write one
    checkpoint each (OUT/top-1, ...) in one pass, each containing what the smaller ones put back."""

    alpha: float | None = Field(default=None, ge=0, le=1)
    """Share of every update that is kept; for the rule interpolation, and only there."""

    remaining: float | None = Field(default=None, ge=0, le=1)
    """Instead of --top or --alpha: the norm of what remains of the update, as a share of the whole
    update's over the region (1 = tuned, 0 = base); met as closely as the rule can."""

    region: Region = "transformer"
    """Which weights may be put back: transformer (inside the layers, without norms), attention,
    mlp, embeddings, all, or a pattern of tensor names such as '*.q_proj.weight'. The others stay
    tuned."""

    layers: Layers | None = None
    """Only these layers, counted from 0, as 8-15 or 0,4-7."""

    scope: Literal["model", "layer", "tensor"] = "model"
    """What is ranked together: the whole region, every layer by itself (what lies outside the
    layers together), or every tensor. Each gives the same share of its weights."""

    seed: int = 0
    """Seed of the rule random."""

    as_patch: bool = False
    """Write how to make the checkpoint again instead of the checkpoint: a few kilobytes, from which
    'sixtyfold rebuild' makes it bit for bit out of the same two models."""

    patch_values: bool = False
    """With --as-patch: store the weights that differ from the tuned model's, so that rebuilding
    needs the tuned model alone; about one byte more for each than the weight takes."""

    @property
    def percents(self) -> tuple[float, ...]:
        """The shares to put back, in the order given; none where something else is the strength."""
        return () if self.top is None else tuple(map(float, str(self.top).split(",")))

    @property
    def where(self) -> Region:
        """The region, limited to the layers."""
        return self.region if self.layers is None else f"{self.region}:{self.layers}"

    def each(self) -> list[Self]:
        """Return the spec of every checkpoint; of several each in a directory of its own."""
        if len(self.percents) <= 1:
            return [self]
        return [self.of(percent, self.out / f"top-{_short(percent)}") for percent in self.percents]

    def of(self, percent: float, out: Path) -> Self:
        """Return the spec of one checkpoint."""
        update: dict[str, Any] = {"top": percent, "out": out}
        return self.model_copy(update=update)

    def _check_strength(self) -> None:
        """Refuse a strength given twice, not at all, or in the terms of another rule."""
        ranks, top_given = self.rule in get_args(RuleName), self.top is not None
        if self.alpha is not None and self.rule != "interpolation":
            reason = f"alpha was given as {self.alpha} with the rule '{self.rule}'"
            raise ValueError(f"{reason}; give --alpha with --rule interpolation, and only then")
        if self.remaining is not None and (self.alpha is not None or top_given):
            raise ValueError("--remaining stands for --top or --alpha; give one of them")
        if not ranks and top_given:
            other = "--alpha or --remaining" if self.rule == "interpolation" else "--remaining"
            raise ValueError(
                f"--top goes with the rules that rank weights; set '{self.rule}' by {other}"
            )
        if self.remaining is None and self.rule == "interpolation" and self.alpha is None:
            raise ValueError("give --alpha with --rule interpolation, or --remaining")
        if self.remaining is None and not ranks and self.rule != "interpolation":
            raise ValueError(f"the rule '{self.rule}' is set by --remaining, which is missing")
        if self.scope != "model" and (self.remaining is not None or not ranks):
            raise ValueError("--scope goes with --top alone: it says what is ranked together")

    @model_validator(mode="before")
    @classmethod
    def _top_unless_given(cls, options: dict[str, Any]) -> dict[str, Any]:
        """Make 10 of a share that is not given, for rules whose strength it is."""
        given = {name: value for name, value in options.items() if value is not None}
        if given.get("rule", "relative") not in get_args(RuleName) or "remaining" in given:
            return options
        return {**options, "top": given.get("top", 10.0)}

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        self._check_strength()
        if self.patch_values and not self.as_patch:
            raise ValueError("--patch-values was given alone; it goes with --as-patch")
        if self.layers is not None and ":" in self.region:
            raise ValueError("layers are given twice: in --region after the colon, and as --layers")
        return self
