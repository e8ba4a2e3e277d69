"""What each token of a vocabulary is as text.

One table per tokenizer, made once: which tokens can confirm that a word has ended, and how every
token reads behind another word.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sixtyfold.engines.text_index import TextIndex

_REPLACEMENT = "�"
_SPACES = re.compile(r"\s+")
_JAMO = range(0x1160, 0x1200)  # Hangul vowels and finals join the letter before them


class Vocabulary(NamedTuple):
    """Text properties of a vocabulary; V is the number of logits of the model.

    ends_word: bool[V], tokens after which the word before them has ended: their text begins with
        a character that is no word character, or they end the answer. Tokens that begin inside a
        multi-byte character are not among them.
    unsure: bool[V], tokens whose text depends on what stands before it: parts of a multi-byte
        character, accents, tokens that change the text before them.
    written: the texts of the tokens behind a word; unsure and special tokens read as nothing.
    normalised: the same as a matcher reads them, spaces at their ends kept as one.
    """

    ends_word: NDArray[np.bool_]
    unsure: NDArray[np.bool_]
    written: TextIndex
    normalised: TextIndex


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
    # As an answer is decoded, so that every token that has no text there has none here.
    decoded = tokenizer.batch_decode(
        [[*anchor, token] for token in range(known)],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    ends = np.zeros(size, dtype=bool)
    unsure = np.zeros(size, dtype=bool)
    texts = [""] * size
    for token, text in enumerate(decoded):
        if not text.startswith(before):
            unsure[token] = True
            continue
        own = text[len(before) :]
        if _stands_alone(own):
            texts[token] = own
        else:
            unsure[token] = True
        # Normalised as a matcher reads it: "™" becomes "TM" and goes on the word before it.
        plain = unicodedata.normalize("NFKC", own)
        ends[token] = bool(plain) and plain[0] != _REPLACEMENT and not _is_word(plain[0])
    ends[[each for each in stop_ids if each < size]] = True
    folded = [_SPACES.sub(" ", unicodedata.normalize("NFKC", each).casefold()) for each in texts]
    return Vocabulary(ends, unsure, TextIndex(texts), TextIndex(folded))


def _stands_alone(text: str) -> bool:
    """Whether a token's text does not depend on the token before it."""
    first = unicodedata.normalize("NFKD", text)[:1]
    joins = bool(first) and (_is_mark(first) or ord(first) in _JAMO)
    return _REPLACEMENT not in text and not joins


def _is_word(character: str) -> bool:
    """Whether a character belongs to the word before it: a word character, accent or vowel sign."""
    return character.isalnum() or character == "_" or _is_mark(character)


def _is_mark(character: str) -> bool:
    """Whether a character may join the one before it; some have no combining class."""
    return unicodedata.category(character).startswith("M")
