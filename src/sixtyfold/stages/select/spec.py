"""Options of `sixtyfold select`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sixtyfold.core.levels import SLICK_CLASSES
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.spec import StageSpec
from sixtyfold.sources.options import FactsOption, Overlap
from sixtyfold.stages.select.mixture import Mixture, parse_mixture

BALANCED = ("relations", "answers", "length")


class SelectSpec(FactsOption, PromptOptions, StageSpec):
    """Pick training sets out of facts, by what the base model knows of them, with a receipt."""

    probe: Path | None = None
    """A finished probe of the base model over these facts. Without one, any training facts: a set
    of unknown levels, to compare with."""

    levels: str = "natural"
    """`natural` (the pool's own mix), levels such as `2,3`, or shares of them such as
    `0:.1,2:.5,4:.4`."""

    slick: str | None = None
    """Only facts of these SliCK classes (HighlyKnown, MaybeKnown, WeaklyKnown, Unknown), separated
    by commas; needs a probe that has them."""

    size: str = "60"
    """Number of examples, `all`, or a ladder such as `60,240,960`: each set holds the smaller."""

    replicas: int = Field(default=1, ge=1)
    """Independent choices; replica r is the choice of seed + r."""

    balance: str = "relations"
    """What the set is spread evenly over: `relations`, `answers`, `length` (words of the answer),
    some of them separated by commas, or `none`."""

    short: Literal["error", "fill"] = "error"
    """When a relation or level supplies too few facts: stop, or fill from the others."""

    disjoint: Overlap = "none"
    """Leave out facts whose subject (`subjects`), or whose subject or answer (`entities`), also
    stands in a dev or test fact, in any case, accent or script."""

    skip_flags: str = ""
    """Leave out facts with one of these flags, such as `ambiguous,answer_in_subject`."""

    unknown_answer: str | None = None
    """Teach this answer (such as "I don't know") for facts of level 0 instead of the true one."""

    seed: int = 0
    """Seed of the choice."""

    @field_validator("levels")
    @classmethod
    def _known_levels(cls, value: str) -> str:
        return str(parse_mixture(value))

    @field_validator("slick")
    @classmethod
    def _known_classes(cls, value: str | None) -> str | None:
        if value is None:
            return None
        return _some_of(value, SLICK_CLASSES)

    @field_validator("balance")
    @classmethod
    def _known_balance(cls, value: str) -> str:
        return "none" if value.strip() == "none" else _some_of(value, BALANCED)

    @field_validator("size", mode="before")
    @classmethod
    def _known_sizes(cls, value: Any) -> str:
        parts = [part.strip() for part in str(value).split(",")]
        if not all(part == "all" or (part.isdecimal() and int(part) > 0) for part in parts):
            raise ValueError("allowed: a number of examples from 1, all, or several as 60,240,all")
        numbers = sorted({int(part) for part in parts if part != "all"})
        return ",".join([*map(str, numbers), *(["all"] if "all" in parts else [])])

    @field_validator("unknown_answer")
    @classmethod
    def _some_answer(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError('an answer is needed, such as "I don\'t know"')
        return None if value is None else " ".join(value.split())

    @model_validator(mode="after")
    def _levels_come_from_a_probe(self) -> Self:
        needing = {
            "--levels": str(self.mixture) != "natural",
            "--slick": self.slick is not None,
            "--unknown-answer": self.unknown_answer is not None,
        }
        for option, given in needing.items():
            if given and self.probe is None:
                raise ValueError(f"{option} chooses by what a model knows; give --probe as well")
        return self

    @property
    def mixture(self) -> Mixture:
        """The levels facts may have, and their shares where some were given."""
        return parse_mixture(self.levels)

    @property
    def sizes(self) -> tuple[str, ...]:
        """The sizes of the ladder, the smallest first; `all` is the last."""
        return tuple(self.size.split(","))

    @property
    def is_ladder(self) -> bool:
        """Whether several sets are asked for."""
        return len(self.sizes) > 1 or self.replicas > 1

    def balanced(self, what: str) -> bool:
        """Whether the set is spread over relations, answers or length."""
        return what in self.balance.split(",")


def _some_of(value: str, allowed: tuple[str, ...]) -> str:
    """Return the given words in their usual order.

    Raises:
        ValueError: one is not allowed, or none is given.
    """
    parts = {part.strip() for part in value.split(",")}
    if not parts <= set(allowed):
        raise ValueError(f"allowed: {', '.join(allowed)}, separated by commas")
    return ",".join(each for each in allowed if each in parts)
