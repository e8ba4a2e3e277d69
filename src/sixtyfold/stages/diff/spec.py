"""Options of `sixtyfold diff`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from sixtyfold.core.spec import StageSpec
from sixtyfold.core.tensor_names import Layers, Region

#: Percentages of arXiv 2509.16596, table 3.
PAPERS_TOPS = (1.0, 3.0, 5.0, 10.0, 20.0, 40.0, 60.0)


def _read_top(top: float | str) -> str:
    """Check percentages and put them in order."""
    try:
        percents = sorted({float(part) for part in str(top).split(",")})
    except ValueError:
        raise ValueError("percentages are given as 20 or as 1,3,5") from None
    if not all(0 < percent <= 100 for percent in percents):
        raise ValueError("a percentage is above 0 and at most 100")
    return ",".join(f"{each:.12g}" for each in percents)


class DiffSpec(StageSpec):
    """Measure what tuning changed in the weights, and how far that concentrates beyond chance."""

    base: str = "embedded"
    """The model before tuning: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    tuned: str
    """The model after tuning, or a LoRA adapter of the base (read as the merged model)."""

    revision: str | None = None
    """Branch, tag or commit of the base, for a Hugging Face id."""

    allow_pickle: bool = False
    """Also read weights stored as pickles (.bin, .pt), a format that can carry code; with torch's
    loader that builds nothing but tensors. Only for files you trust."""

    region: Region = "transformer"
    """Weights whose concentration is measured: transformer (inside the layers, without norms),
    attention, mlp, embeddings, all, or a pattern of tensor names such as '*.q_proj.weight'. The
    tables of sums have every tensor."""

    layers: Layers | None = None
    """Only these layers of the region, counted from 0, as 8-15 or 0,4-7."""

    top: Annotated[float | str, AfterValidator(_read_top)] = "1,3,5,10,20,40,60"
    """Percentages of the region's weights, most changed first, whose share of the change is
    told."""

    seed: int = 0
    """Seed of the permutation that the concentration is compared with."""

    papers_rounding: bool = False
    """Also measure concentration as the released code of arXiv 2509.16596 does: models, relative
    change and sums in bfloat16."""

    spectrum: bool = False
    """Also measure the singular values of every matrix's update."""

    other: str | None = None
    """A second tuned model of the same base: how far its update overlaps with this one's."""

    @property
    def percents(self) -> tuple[float, ...]:
        """The percentages, ascending."""
        return tuple(float(part) for part in str(self.top).split(","))

    @property
    def where(self) -> Region:
        """The region, limited to the layers."""
        return self.region if self.layers is None else f"{self.region}:{self.layers}"
