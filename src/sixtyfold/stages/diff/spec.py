"""Options of `sixtyfold diff`."""

from __future__ import annotations

from sixtyfold.core.spec import StageSpec
from sixtyfold.core.tensor_names import Region


class DiffSpec(StageSpec):
    """Measure what tuning changed in the weights, and how far that concentrates beyond chance."""

    base: str = "embedded"
    """The model before tuning: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    tuned: str
    """The model after tuning."""

    revision: str | None = None
    """Branch, tag or commit of the base, for a Hugging Face id."""

    region: Region = "transformer"
    """Weights whose concentration is measured: transformer (inside the layers, without norms),
    attention, mlp, embeddings, all. The table of changes has every tensor."""

    seed: int = 0
    """Seed of the permutation that the concentration is compared with."""
