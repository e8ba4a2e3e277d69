"""Training examples as token ids: prompt masked, answer and end token learned."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.prompts import PromptOptions, continuation_ids, question_ids

IGNORED = -100


class Example(NamedTuple):
    """One training example; labels are `IGNORED` where nothing is learned."""

    fact_id: str
    input_ids: list[int]
    labels: list[int]

    @property
    def targets(self) -> int:
        """Number of learned tokens, the end token included."""
        return sum(label != IGNORED for label in self.labels)


def encode_examples(
    selection: pl.DataFrame, tokenizer: Any, options: PromptOptions, max_length: int
) -> list[Example]:
    """Tokenise prompt and answer of every row apart and append the end token.

    Raises:
        BadInput: there is no row, one is empty or too long, or the tokenizer has no end token.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise BadInput("the tokenizer has no end token, so the model could not learn to stop")
    if selection.is_empty():
        raise BadInput("the selection holds no row; select at least one fact")
    examples = []
    for row in selection.iter_rows(named=True):
        answer = row["completion"]
        if not answer.strip() or not row["question"].strip():
            raise BadInput(
                f"training row {row['fact_id']} has an empty question or answer; drop it"
            )
        prompt = question_ids(tokenizer, options, row["question"])
        target = [*continuation_ids(tokenizer, answer), end]
        if len(prompt) + len(target) > max_length:
            raise BadInput(
                f"training row {row['fact_id']} has {len(prompt) + len(target)} tokens, "
                f"--max-length allows {max_length}; raise it or drop the row"
            )
        labels = [IGNORED] * len(prompt) + target
        examples.append(Example(row["fact_id"], prompt + target, labels))
    return examples
