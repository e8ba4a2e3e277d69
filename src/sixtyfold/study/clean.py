"""What a store holds that none of its studies needs: listed, and removed when asked for."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from sixtyfold.core.facts import read_table
from sixtyfold.study.any_store import Store
from sixtyfold.study.jobs import Job
from sixtyfold.study.plan import Plan

UNNEEDED = pl.Schema(
    {"stage": pl.String(), "key": pl.String(), "bytes": pl.Int64(), "removed": pl.Boolean()}
)


class Unneeded(NamedTuple):
    """A result that no study of the store names, and the bytes it takes."""

    job: Job
    bytes: int


def unneeded(store: Store, plan: Plan) -> list[Unneeded]:
    """Return the results that neither this plan nor another study's last run needs.

    Args:
        store: where results lie.
        plan: the study's, as its file stands now.

    Raises:
        Corrupted: the cells of another study are not readable, so that nobody knows what it needs.
    """
    needed = set(plan.jobs)
    for cells in store.cells_files():
        needed |= set(read_table(cells)["key"])
    return [
        Unneeded(Job(key, stage, {}, {}), used)
        for (stage, key), used in store.result_bytes().items()
        if key not in needed
    ]


def removed(store: Store, found: list[Unneeded], *, yes: bool) -> pl.DataFrame:
    """Remove them where `yes`, those that somebody works on left out; return a row for each."""
    rows = []
    for job, used in found:
        gone = yes and _forgotten(store, job)
        rows.append({"stage": job.stage, "key": job.key, "bytes": used, "removed": gone})
    return pl.DataFrame(rows, schema=UNNEEDED)


def _forgotten(store: Store, job: Job) -> bool:
    with store.claim(job, ()) as ours:
        if ours:
            store.forget(job)
        return ours
