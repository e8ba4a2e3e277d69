"""Options of reading a fact set, the same for every source."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sixtyfold.core.spec import Spec

Overlap = Literal["none", "subjects", "entities"]


class FactsOption(Spec):
    """The option of every command that reads facts."""

    facts: str = "atlas"
    """`atlas`, `table:FILE` (csv, tsv, json, jsonl, parquet), `entityquestions:DIR`, `popqa:FILE`,
    `hub:NAME`, or a directory written by `sixtyfold facts build`."""


class ReadOptions(Spec):
    """How facts are read and cleaned."""

    columns: str | None = None
    """Columns of a table or hub set, as `question=q,answers=target`; guessed without it."""

    aliases: str | None = None
    """More accepted answers: a file (yaml, json, csv: answer, then its aliases), `packages` (names
    of countries out of the fact packages, short names of frequent answers), both with a comma, or
    `none`. Without it EntityQuestions, which has no aliases, gets `packages`."""

    templates: Path | None = None
    """YAML file of cloze templates: `relation: [texts]` replaces, `relation: {add: [texts]}`
    adds to those there are."""

    in_domain: str | None = None
    """Relations that training may use, separated by commas (the others are only tested), or
    `ye2025` for the ten of arXiv 2509.16596."""

    ambiguous: Literal["keep", "drop"] = "keep"
    """What to do with facts whose rows contradict each other, or that share their name."""

    disjoint: Overlap = "none"
    """Drop training facts whose subject (`subjects`), or whose subject or answer (`entities`),
    also stands in a dev or test fact, in any case, accent or script."""

    hub_config: str | None = None
    """Configuration of a hub data set, where it has several."""

    def read_options(self) -> ReadOptions:
        """Return these options alone, also when called on a spec that inherits them."""
        return ReadOptions(**{name: getattr(self, name) for name in ReadOptions.model_fields})
