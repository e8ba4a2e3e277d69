"""Options of `sixtyfold plant`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from sixtyfold.core.spec import Spec, StageSpec


class PlantSpec(StageSpec):
    """Train a small model from scratch on made-up facts, each seen a known number of times."""

    #: How often a state is kept changes no weight.
    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {"checkpoint_every"}

    architecture: Literal["llama", "qwen2", "gpt2", "gemma", "gpt_neox"] = "llama"
    """Family of the model; `docs/plant.md` says what sets them apart."""

    head: Literal["usual", "tied", "untied"] = "usual"
    """Whether the output layer shares the input embeddings' weights; as the family usually has it
    without this."""

    layers: int = Field(default=2, ge=1)
    """Transformer layers."""

    hidden: int = Field(default=128, ge=16, multiple_of=8)
    """Width of the model."""

    vocabulary: int = Field(default=2048, ge=512)
    """Most tokens of the tokenizer, which is trained on the texts."""

    corpus: Literal["sentences", "biographies"] = "sentences"
    """sentences (one fact each) or biographies (paragraphs of prose about a subject)."""

    forms: int = Field(default=6, ge=1, le=6)
    """In how many of its relation's six cloze forms a fact is told; which is drawn fact by fact."""

    text: Path | None = None
    """A UTF-8 text file to train on as well, once a pass; blank lines separate its paragraphs."""

    subjects: int = Field(default=100, ge=8, le=10_000)
    """Made-up subjects; each has one fact of every relation."""

    relations: int = Field(default=3, ge=2, le=8)
    """Relations; the last ones are out of domain."""

    out_of_domain: int = Field(default=1, ge=1, le=7)
    """Relations out of domain, whose facts are only tested; fewer than there are."""

    exposures: tuple[int, ...] = (0, 2, 10, 50)
    """How often a fact is seen in one pass; each number gets an equal share of the facts."""

    passes: int = Field(default=3, ge=1)
    """Passes over the texts."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate, AdamW, cosine decay to 0."""

    batch: int = Field(default=16, ge=1)
    """Texts per optimiser step."""

    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one."""

    checkpoint_every: int | None = Field(default=None, ge=0)
    """Steps between states kept until the end, from which a killed run continues; 0: none; every
    minute without it."""

    seed: int = 0
    """Seed of the names, the facts, their splits, the texts and the training."""

    @field_validator("exposures")
    @classmethod
    def _some_exposure(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 0 or max(value) == 0 or len(set(value)) != len(value):
            raise ValueError("allowed: different whole numbers from 0, one of them above 0")
        return value

    @model_validator(mode="after")
    def _some_relation_in_domain(self) -> Self:
        if self.out_of_domain >= self.relations:
            raise ValueError(
                f"--out-of-domain {self.out_of_domain} of --relations {self.relations} leaves none "
                "to train on; give more relations or fewer out of domain"
            )
        return self
