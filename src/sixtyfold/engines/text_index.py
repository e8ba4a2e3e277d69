"""Find tokens by their text: which begin with it, which hold it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BETWEEN = "\x00"
_BEYOND = "\U0010ffff"


class TextIndex:
    """Texts of tokens, searchable without looking at each of them."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._order = np.array(sorted(range(len(texts)), key=texts.__getitem__), dtype=np.int64)
        self._sorted = [texts[index] for index in self._order]
        self._joined = _BETWEEN + _BETWEEN.join(texts) + _BETWEEN
        lengths = np.array([len(text) + 1 for text in texts])
        self._starts = 1 + np.concatenate([[0], np.cumsum(lengths)[:-1]])

    def ending(self, answer: str) -> NDArray[np.int64]:
        """Return tokens that hold `answer`, or begin with some last part of it.

        >>> TextIndex([" Par", "is", "is it", " Paris,", "a"]).ending("Paris").tolist()
        [1, 2, 3]
        """
        found = [self._begin_with(answer[start:]) for start in range(len(answer))]
        return np.unique(np.concatenate([*found, self._hold(answer)]))

    def _begin_with(self, text: str) -> NDArray[np.int64]:
        low = bisect_left(self._sorted, text)
        high = bisect_left(self._sorted, text + _BEYOND)
        return self._order[low:high]

    def _hold(self, text: str) -> NDArray[np.int64]:
        places = [each.start() for each in re.finditer(re.escape(text), self._joined)]
        return np.asarray(np.searchsorted(self._starts, places, side="right") - 1, dtype=np.int64)
