"""How candidates of a choice did on dev: the mean accuracy over relations, in domain.

It is the number that the results table holds, so that what is chosen can be seen there.
"""

from __future__ import annotations

import polars as pl

from sixtyfold.core.errors import Corrupted, IncompleteInput
from sixtyfold.study.any_store import NUMBERS, Store, StoredTable

_CHOSEN_BY = (
    (pl.col("measure") == "macro_relation")
    & (pl.col("domain") == "in")
    & (pl.col("split") == "dev")
    & pl.col("part").is_null()
)


class DevScores:
    """Reads numbers of dev answers from a store, each once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.known: dict[str, float] = {}
        self.damaged: dict[str, str] = {}
        """Keys of recorded answers whose numbers are not readable, and why."""
        self.undefined: dict[str, str] = {}
        """Keys of recorded answers that have no accuracy to choose by, and why."""

    def __call__(self, keys: tuple[str, ...]) -> float | None:
        """Return the mean over several dev answers; None while one is missing.

        Args:
            keys: of the jobs that asked, one per seed.
        """
        found = [self._score(key) for key in keys]
        known = [score for score in found if score is not None]
        return sum(known) / len(known) if len(known) == len(found) else None

    def forget(self, key: str) -> None:
        """Read this one anew."""
        self.known.pop(key, None)
        self.damaged.pop(key, None)
        self.undefined.pop(key, None)

    def _score(self, key: str) -> float | None:
        if key in self.known:
            return self.known[key]
        if not self.store.is_recorded(key):
            return None
        try:
            numbers = self.store.table(StoredTable(NUMBERS, "evaluate", key))
            found = numbers.filter(_CHOSEN_BY)["value"]
        except (Corrupted, IncompleteInput, pl.exceptions.PolarsError) as error:
            self.damaged[key] = " ".join(str(error).split())
            return None
        if found.is_empty():
            self.undefined[key] = "its dev facts are all out of domain, so nothing can be chosen"
            return None
        self.known[key] = float(found[0])
        return self.known[key]
