"""Options of `sixtyfold check`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from sixtyfold.core.matching import MatchMode
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.spec import Spec, StageSpec


class CheckSpec(ModelOptions, StageSpec):
    """Look through a training file before tuning, and write it without what would hurt."""

    #: The place; the manifest carries the fingerprint of what lies there.
    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {"file"}

    file: Path
    """The training file: jsonl, json, csv, tsv or parquet with messages, prompt and completion,
    instruction and output, or question and answer."""

    columns: str | None = None
    """Columns of question and answer, as `question=q,answers=target`; guessed without it."""

    model: str = "embedded"
    """The model to be tuned: `embedded`, a directory, a .gguf file or a Hugging Face id."""

    hold_back: Literal["none", "unknown", "weak"] = "none"
    """Facts to leave out of the cleaned file: none, those the model does not know, or also those it
    knows weakly. They go into a file of their own."""

    fact_tokens: int = Field(default=10, ge=1)
    """Longest answer, in tokens of the model, that can be a fact."""

    max_length: int | None = Field(default=None, ge=8)
    """Longest row in tokens, prompt and answer; what the model can read without it."""

    limit: int | None = Field(default=None, ge=1)
    """Ask the model about the first N facts, and score the first N other rows, of a seeded shuffle;
    all without it."""

    shots: int = Field(default=4, ge=1, le=16)
    """Other facts of the file shown in a few-shot prompt."""

    shot_sets: int = Field(default=3, ge=0, le=16)
    """Few-shot prompts per fact, each with other facts."""

    draws: int = Field(default=4, ge=1)
    """Draws per prompt."""

    max_new_tokens: int = Field(default=16, ge=1)
    """Length of a draw."""

    match: MatchMode = "standard"
    """paper, standard, strict or loose."""

    batch: int | None = Field(default=None, ge=1)
    """Draws that run together; what memory allows without it."""

    seed: int = 0
    """Seed of the shuffle, of the choice of worked examples and of every draw."""
