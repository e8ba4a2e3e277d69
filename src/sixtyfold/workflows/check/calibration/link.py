"""From what questions say of a file to the levels of its facts.

Studies tell sets apart by levels of cloze prompts; a file of one's own has only its questions. How
facts of each class of levels come out when they are asked is counted on facts asked both ways, and
the mix of classes that explains a file's counts best is taken: adjusted counting (Forman 2008,
"Quantifying counts and costs via classification"). It holds where a fact of a class answers to
questions as it did there, whatever the mix.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.levels import LEVELS
from sixtyfold.workflows.check.calibration.cells import CLASSES
from sixtyfold.workflows.check.knowledge import BUCKETS

LEAST_SPREAD = 0.25
"""A model can be asked if facts of levels 3 and 4 and facts of level 0 differ by this much, as the
share that would have to change its bucket."""
_SUM_WEIGHT = 1e3  # shares sum to 1: an equation that least squares must all but fulfil
_LEVELS = tuple(f"level_{level}" for level in LEVELS)
_NEEDED = ("study", "model", "levels", "facts", "protocol", "fingerprint", *BUCKETS, *_LEVELS)


class Asked(NamedTuple):
    """A study's model, asked about facts of each class.

    rows: what questions said of each kind of training set: `BUCKETS`, and the truth, shares of
        level_0 to level_4; all 0..1.
    link: (buckets, classes), share of the facts of a class that come out in a bucket.
    """

    study: str
    model: str
    rows: pl.DataFrame
    link: np.ndarray

    @property
    def spread(self) -> float:
        """Share of facts by which well-known and never-said ones differ, 0..1."""
        return float(np.abs(self.link[:, -1] - self.link[:, 0]).sum() / 2)


def asked_of(tables: list[pl.DataFrame]) -> list[Asked]:
    """Return every model of every study that was asked about each class of levels.

    Args:
        tables: as `benchmarks/ask_training_sets.py` writes them.

    Raises:
        BadInput: a column is missing, or the models were asked in different ways.
    """
    if not tables:
        return []
    for table in tables:
        missing = [name for name in _NEEDED if name not in table.columns]
        if missing:
            raise BadInput(
                f"a table of asked training sets lacks {', '.join(missing)}; "
                "give what benchmarks/ask_training_sets.py wrote"
            )
    rows = pl.concat([table.select(_NEEDED) for table in tables])
    ways = rows["protocol"].unique().sort().to_list()
    if len(ways) > 1:
        raise BadInput(f"models were asked in {len(ways)} ways: {'; '.join(ways)}; ask all in one")
    found = []
    for (study, model), own in rows.group_by("study", "model", maintain_order=True):
        columns = [_mean_of(own, levels) for levels in CLASSES.values()]
        link = np.array(columns).T
        if not np.isnan(link).any():
            found.append(Asked(str(study), str(model), own, link))
    return found


def _mean_of(rows: pl.DataFrame, levels: tuple[int, ...]) -> np.ndarray:
    """Return the mean shares of the buckets over the files of some levels; NaN without any."""
    own = rows.filter(pl.col("levels").is_in([str(level) for level in levels]))
    return np.asarray(own.select(BUCKETS).mean().to_numpy()[0], dtype=float)


def can_be_asked(asked: Asked) -> bool:
    """Whether questions tell what this model knows from what it does not."""
    return asked.spread >= LEAST_SPREAD


class Mix(NamedTuple):
    """Shares of the classes in a file, and how far the best mix is from what was seen.

    shares: (classes,), 0..1, sum 1.
    distance: share of facts whose bucket the mix does not explain, 0..1.
    """

    shares: np.ndarray
    distance: float


def mix_of(link: np.ndarray, buckets: np.ndarray) -> Mix:
    """Return the mix of classes that explains the shares of buckets best (least squares).

    Args:
        link: (buckets, classes).
        buckets: (buckets,), shares, 0..1.

    >>> link = np.array([[0.9, 0.4, 0.1], [0.1, 0.4, 0.2], [0.0, 0.2, 0.7]])
    >>> mix_of(link, link @ np.array([0.5, 0.3, 0.2])).shares.round(3).tolist()
    [0.5, 0.3, 0.2]
    """
    from scipy.optimize import nnls

    ones = np.full((1, link.shape[1]), _SUM_WEIGHT)
    shares = nnls(np.vstack([link, ones]), np.append(buckets, _SUM_WEIGHT))[0]
    shares = shares / shares.sum()
    return Mix(shares, float(np.abs(link @ shares - buckets).sum() / 2))
