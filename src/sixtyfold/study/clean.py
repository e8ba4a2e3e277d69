"""What a store holds that none of its studies needs: listed, and removed when asked for."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from sixtyfold.core.facts import read_table
from sixtyfold.study.any_store import Store
from sixtyfold.study.jobs import Job
from sixtyfold.study.plan import Plan

REMOVED = pl.Schema({"stage": pl.String(), "key": pl.String(), "removed": pl.Boolean()})


class Unneeded(NamedTuple):
    """Results that no study of the store names.

    jobs: of which.
    bytes: what they take.
    """

    jobs: list[Job]
    bytes: int


def unneeded(store: Store, plan: Plan) -> Unneeded:
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
    jobs, size = [], 0
    for (stage, key), used in store.result_bytes().items():
        if key not in needed:
            jobs.append(Job(key, stage, {}, {}))
            size += used
    return Unneeded(jobs, size)


def remove(store: Store, found: Unneeded) -> pl.DataFrame:
    """Remove them, those that somebody works on left out; return what was removed."""
    rows = []
    for job in found.jobs:
        with store.claim(job, ()) as ours:
            if ours:
                store.forget(job)
        rows.append({"stage": job.stage, "key": job.key, "removed": ours})
    return pl.DataFrame(rows, schema=REMOVED)
