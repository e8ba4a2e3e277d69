"""What a store holds that none of its studies needs: listed, and removed when asked for.

Whole results that no study names, and what is left of weights whose removal was cut short.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from sixtyfold.core.errors import Corrupted
from sixtyfold.core.facts import read_table
from sixtyfold.study.any_store import Store
from sixtyfold.study.jobs import Job
from sixtyfold.study.plan import Plan
from sixtyfold.study.stages import MAKES_WEIGHTS

UNNEEDED = pl.Schema(
    {
        "stage": pl.String(),
        "key": pl.String(),
        "what": pl.String(),
        "bytes": pl.Int64(),
        "removed": pl.Boolean(),
    }
)
_RESULT, _WEIGHTS = "result", "half-removed weights"


class Unneeded(NamedTuple):
    """What no study of the store needs, and the bytes it takes.

    what: the whole result, or half-removed weights of one that is needed.
    """

    job: Job
    bytes: int
    what: str = _RESULT


def unneeded(store: Store, plan: Plan) -> list[Unneeded]:
    """Return what neither this plan nor another study's last run needs.

    Args:
        store: where results lie.
        plan: the study's, as its file stands now.

    Raises:
        Corrupted: the cells of another study are not readable, so that nobody knows what it needs.
    """
    needed = set(plan.jobs)
    for cells in store.cells_files():
        try:
            needed |= set(read_table(cells)["key"])
        except Corrupted as error:
            study = cells.parent.name
            raise Corrupted(
                f"nothing is removed, as nobody knows what the study {study} needs: {error} with "
                "'sixtyfold study run' and its file"
            ) from None
    lying = [(Job(key, stage, {}, {}), used) for (stage, key), used in store.result_bytes().items()]
    results = [Unneeded(job, used) for job, used in lying if job.key not in needed]
    others = [job for job, _ in lying if job.key in needed and job.stage in MAKES_WEIGHTS]
    recorded = store.recorded()
    halves = [
        Unneeded(job, store.weight_bytes(job), _WEIGHTS)
        for job in others
        if job.key in recorded and not store.has_weights(job) and store.holds_weights(job)
    ]
    return results + halves


def removed(store: Store, found: list[Unneeded], *, yes: bool) -> pl.DataFrame:
    """Remove them where `yes`, those that somebody works on left out; return a row for each."""
    rows = []
    for job, used, what in found:
        remove = _forgotten if what == _RESULT else _dropped
        gone = yes and remove(store, job)
        named = {"stage": job.stage, "key": job.key, "what": what}
        rows.append({**named, "bytes": used, "removed": gone})
    return pl.DataFrame(rows, schema=UNNEEDED)


def _forgotten(store: Store, job: Job) -> bool:
    with store.claim(job, ()) as ours:
        if ours:
            store.forget(job)
        return ours


def _dropped(store: Store, job: Job) -> bool:
    return store.drop_weights(job)
