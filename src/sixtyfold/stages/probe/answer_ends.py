"""Which tokens can bring an accepted answer to its end, whatever was drawn before them.

A text automaton of the accepted answers over tokens, without its states: a token is *watched*
for a fact if its text could hold the last character of an answer that began in it or before it.
As long as a path draws tokens that are not watched, it can neither become a hit nor come to stand
at the end of an answer, so nothing has to be decoded; the matcher reads the few texts that remain.
A few searches of the vocabulary per fact, no work per token.

Watching too much costs time only; watching too little would lose hits. So whatever is not plain
(parts of characters, matching that drops punctuation, copies of the subject) is watched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sixtyfold.core.matching import Matcher
from sixtyfold.engines.vocabulary import Vocabulary


def watched(words: Vocabulary, hits: Matcher) -> NDArray[np.bool_]:
    """Return bool[V]: the tokens that can end one of a fact's answers."""
    if hits.mode == "strict":
        return np.zeros(len(words.unsure), dtype=bool)  # only the whole text counts
    if hits.mode == "loose" or (hits.copies_subject and not hits.is_subject):
        return np.ones(len(words.unsure), dtype=bool)
    found = words.unsure.copy()
    texts = words.written if hits.mode == "paper" else words.normalised
    plurals = ("", "s", "es") if hits.mode == "standard" else ("",)
    for answer in hits.answers:
        for ending in plurals:
            found[texts.ending(answer + ending)] = True
    return found
