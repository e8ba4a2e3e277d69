"""What was trained, as the trainer counted it, against what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.stages.tune.examples import Example
from sixtyfold.stages.tune.spec import Recipe


class Step(NamedTuple):
    """One optimiser step: the numbers of the examples it trained on, its loss and rate."""

    rows: list[int]
    loss: float
    learning_rate: float


def steps_of(log_history: Sequence[dict[str, Any]]) -> list[Step]:
    """Return the optimiser steps in a trainer's log."""
    return [
        Step(entry["rows"], entry["loss"], entry["learning_rate"])
        for entry in log_history
        if "rows" in entry
    ]


def check_dataset(dataset: Any, examples: Sequence[Example]) -> None:
    """Assert that the trainer holds every example with exactly our ids and labels.

    Raises:
        SixtyfoldError: one is missing, too many or changed.
    """
    if len(dataset) != len(examples):
        raise SixtyfoldError(
            f"the trainer kept {len(dataset)} of {len(examples)} examples; none may be dropped"
        )
    for row, example in zip(dataset, examples, strict=True):
        same = row["input_ids"] == example.input_ids and row["labels"] == example.labels
        if not same:
            raise SixtyfoldError(f"the trainer changed example {example.fact_id}")


def check_ends(examples: Sequence[Example], end: int) -> None:
    """Assert that every example learns to stop: its last label is the end token.

    Raises:
        SixtyfoldError: one does not.
    """
    for example in examples:
        if example.labels[-1] != end:
            raise SixtyfoldError(f"example {example.fact_id} does not learn the end token")


def check_steps(steps: Sequence[Step], examples: int, recipe: Recipe) -> None:
    """Assert that every pass saw every example once, and the last, cut short, none twice.

    Args:
        steps: those trained.
        examples: number of examples.
        recipe: what was asked for.

    Raises:
        SixtyfoldError: steps are missing, or an example was left out or came twice.
    """
    wanted = recipe.steps(examples)
    if len(steps) != wanted:
        raise SixtyfoldError(f"trained {len(steps)} steps, asked for {wanted}; nothing was saved")
    a_pass = recipe.steps_per_pass(examples)
    for start in range(0, wanted, a_pass):
        parts = steps[start : start + a_pass]
        rows = sorted(row for step in parts for row in step.rows)
        whole = len(parts) == a_pass
        wrong = rows != list(range(examples)) if whole else _wrong_beginning(rows, parts, recipe)
        if wrong:
            raise SixtyfoldError(
                f"pass {start // a_pass + 1} trained on {len(set(rows))} different examples in "
                f"{len(rows)} rows of {examples}; each belongs in once; nothing was saved"
            )


def _wrong_beginning(rows: list[int], parts: Sequence[Step], recipe: Recipe) -> bool:
    """Whether the rows of a pass cut short repeat an example or miss one of a full batch."""
    return len(set(rows)) != len(rows) or len(rows) != len(parts) * recipe.batch


def counts(steps: Sequence[Step], examples: Sequence[Example]) -> dict[str, int]:
    """Return examples, target tokens and end tokens that were learned, and steps."""
    rows = [row for step in steps for row in step.rows]
    return {
        "examples": len(rows),
        "target_tokens": sum(examples[row].targets for row in rows),
        "steps": len(steps),
    }
