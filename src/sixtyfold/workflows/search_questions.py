"""What a search asks its candidates: facts, or the documents of a task of lm-eval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from sixtyfold.workflows.search_facts import read_facts
from sixtyfold.workflows.search_spec import SearchSpec

if TYPE_CHECKING:
    from sixtyfold.engines.torch_engine import TorchEngine


class Questions(Protocol):
    """Questions to choose on and questions to report on."""

    @property
    def dev(self) -> pl.DataFrame:
        """Rows to judge on, in the order in which the rounds ask them."""
        ...

    @property
    def test(self) -> pl.DataFrame:
        """Rows to report on; none without a test."""
        ...

    @property
    def inputs(self) -> dict[str, str]:
        """Fingerprints of what was read."""
        ...

    def ask(self, engine: TorchEngine, rows: pl.DataFrame) -> pl.DataFrame:
        """Answer the questions of some rows of `dev` or `test` with a loaded model.

        Returns:
            an answers table, sorted by key; the same rows have the same keys for every model.
        """
        ...

    def prompt_tokens(self, model: Path) -> float | None:
        """Return the mean length of a prompt, None where it is not known beforehand."""
        ...


def read_questions(spec: SearchSpec) -> Questions:
    """Read what a search asks.

    Raises:
        BadInput: there is nothing to judge on, or to report on.
        IncompleteInput: the probe is not finished.
    """
    if spec.lm_eval_task is None:
        return read_facts(spec)
    from sixtyfold.workflows.search_task import read_task

    return read_task(spec)
