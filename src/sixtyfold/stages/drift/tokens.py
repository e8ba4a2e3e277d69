"""The tokens whose probability moved most, at the first token of the answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax

from sixtyfold.stages.drift.measures import blocks

MOVED = 0.001
"""A token counts as moved in a fact where its probability changed by more than this."""


def token_sums(tuned_NV: NDArray[np.float32], base_NV: NDArray[np.float32]) -> pl.DataFrame:
    """Add up both models' probabilities over some facts.

    Args:
        tuned_NV: logits of the tuned model, one row a fact.
        base_NV: logits of the base model.

    Returns:
        One row per id both have: base and tuned (sums of probabilities), up and down (facts in
        which it rose or fell by more than `MOVED`).
    """
    shared = min(tuned_NV.shape[1], base_NV.shape[1])
    sums, moves = np.zeros((2, shared)), np.zeros((2, shared), dtype=np.uint32)
    for rows in blocks(len(tuned_NV), max(tuned_NV.shape[1], base_NV.shape[1])):
        base, tuned = (
            softmax(np.asarray(each[rows], dtype=np.float64), axis=1)[:, :shared]
            for each in (base_NV, tuned_NV)
        )
        sums += np.stack([base.sum(0), tuned.sum(0)])
        change = tuned - base
        moves += np.stack([(change > MOVED).sum(0), (change < -MOVED).sum(0)]).astype(np.uint32)
    return pl.DataFrame({"base": sums[0], "tuned": sums[1], "up": moves[0], "down": moves[1]})


def most_moved(
    parts: Iterable[pl.DataFrame], facts: int, tokenizer: Any, count: int
) -> pl.DataFrame:
    """Return the tokens with the largest mean change of probability.

    Args:
        parts: what `token_sums` returned for all facts, read one at a time; at least one.
        facts: how many facts these are.
        tokenizer: gives the tokens' texts.
        count: tokens per direction; those that did not move are left out.

    Returns:
        Columns direction (up, down), token, text, mean_change, mean_base, mean_tuned, up, down;
        in each direction the largest change first, ties in id order.
    """
    columns: dict[str, NDArray[np.float64]] = {}
    for part in parts:
        for name in part.columns:
            values = part[name].to_numpy().astype(np.float64)
            columns[name] = columns[name] + values if name in columns else values
    change = (columns["tuned"] - columns["base"]) / facts
    chosen = []
    for direction, sign in (("up", 1.0), ("down", -1.0)):
        order = np.argsort(-sign * change, kind="stable")[:count]
        chosen += [(direction, int(token)) for token in order if sign * change[token] > 0]
    return pl.DataFrame(
        [
            {
                "direction": direction,
                "token": token,
                "text": token_text(tokenizer, token),
                "mean_change": float(change[token]),
                "mean_base": float(columns["base"][token]) / facts,
                "mean_tuned": float(columns["tuned"][token]) / facts,
                "up": int(columns["up"][token]),
                "down": int(columns["down"][token]),
            }
            for direction, token in chosen
        ],
        schema=TOKENS_SCHEMA,
    )


TOKENS_SCHEMA = pl.Schema(
    {
        "direction": pl.String(),
        "token": pl.Int64(),
        "text": pl.String(),
        "mean_change": pl.Float64(),
        "mean_base": pl.Float64(),
        "mean_tuned": pl.Float64(),
        "up": pl.Int64(),
        "down": pl.Int64(),
    }
)


def token_text(tokenizer: Any, token: int) -> str:
    """Return a token's text in printable characters; of part of a character, its spelling."""
    text = tokenizer.decode([token], clean_up_tokenization_spaces=False)
    if not text or "\ufffd" in text:
        text = tokenizer.convert_ids_to_tokens(token) or f"<id {token}>"
    return printable(text)


def printable(text: str) -> str:
    r"""Escape what is not printable; letters of any script and spaces stay.

    >>> printable(" São\n\x1b[31m")
    ' São\\n\\x1b[31m'
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
