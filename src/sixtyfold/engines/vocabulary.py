"""What each token of a vocabulary is as text.

One table per tokenizer, made once: which tokens can confirm that a word has ended.
"""

from __future__ import annotations

import unicodedata
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_REPLACEMENT = "�"


class Vocabulary(NamedTuple):
    """Text properties of a vocabulary; V is the number of logits of the model.

    ends_word: bool[V], tokens after which the word before them has ended: their text begins with
        a character that is no word character, or they end the answer. Tokens that begin inside a
        multi-byte character are not among them.
    """

    ends_word: NDArray[np.bool_]


def vocabulary(tokenizer: Any, size: int, stop_ids: frozenset[int]) -> Vocabulary:
    """Build the table.

    Args:
        tokenizer: the model's tokenizer.
        size: number of logits of the model, at least the number of tokens.
        stop_ids: tokens that end an answer.
    """
    anchor = list(tokenizer("x", add_special_tokens=False)["input_ids"])
    before = tokenizer.decode(anchor)
    known = min(size, len(tokenizer))
    texts = tokenizer.batch_decode(
        [[*anchor, token] for token in range(known)], clean_up_tokenization_spaces=False
    )
    ends = np.zeros(size, dtype=bool)
    special = set(tokenizer.all_special_ids)
    for token, text in enumerate(texts):
        if token in special or not text.startswith(before):
            continue
        # Normalised as a matcher reads it: "™" becomes "TM" and goes on the word before it.
        own = unicodedata.normalize("NFKC", text[len(before) :])
        ends[token] = bool(own) and own[0] != _REPLACEMENT and not _is_word(own[0])
    ends[[each for each in stop_ids if each < size]] = True
    return Vocabulary(ends)


def _is_word(character: str) -> bool:
    """Whether a character belongs to the word before it: a word character or an accent."""
    return character.isalnum() or character == "_" or unicodedata.combining(character) > 0
