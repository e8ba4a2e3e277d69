"""The numbers shown beside facts: accuracies of a run, and how two runs differ, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.statistics import Estimate, macro
from sixtyfold.explorer.catalogue import Run
from sixtyfold.explorer.comparison import answers_of
from sixtyfold.explorer.tables import Tables
from sixtyfold.stages.compare.transitions import STATES

if TYPE_CHECKING:
    from sixtyfold.core.paired_tests import Difference


class Both(NamedTuple):
    """Two runs over the facts of one domain: means over relations, and their paired difference.

    A number is None where it is not defined (no fact).
    """

    domain: str
    facts: int
    before: Estimate | None
    after: Estimate | None
    difference: Difference | None


class Scored(NamedTuple):
    """Accuracy of one run: the mean over relations by domain, and how many facts it was asked."""

    facts: int
    by_domain: dict[str, Estimate]


def both_sides(counts: pl.DataFrame) -> list[Both]:
    """Return accuracies and difference of two runs, for every domain there is.

    Args:
        counts: columns domain, relation, kept, lost, gained, never.

    >>> counts = {"domain": ["in"], "relation": ["r"], "kept": [1], "lost": [0], "gained": [2],
    ...           "never": [1]}
    >>> found = both_sides(pl.DataFrame(counts))[0]
    >>> found.before.value, found.after.value, found.difference.value
    (0.25, 0.75, 0.5)
    """
    from sixtyfold.core.paired_tests import stratified_difference

    found = []
    for domain in DOMAINS:
        rows = counts.filter(pl.col("domain") == domain)
        kept, lost, gained, never = (rows[name].to_list() for name in STATES)
        n = [sum(each) for each in zip(kept, lost, gained, never, strict=True)]
        if not n:
            continue
        before = [k + out for k, out in zip(kept, lost, strict=True)]
        after = [k + new for k, new in zip(kept, gained, strict=True)]
        difference = stratified_difference(gained, lost, n)
        found.append(Both(domain, sum(n), macro(before, n), macro(after, n), difference))
    return found


def warm_up() -> None:
    """Import what the first numbers need, which takes longer than all else."""
    both = {"domain": ["in"], "relation": [""], **{state: [1] for state in STATES}}
    both_sides(pl.DataFrame(both))


def scored(tables: Tables, run: Run) -> Scored:
    """Return the accuracy of a run.

    Raises:
        Corrupted: its table is not readable.
    """
    query, values = answers_of(run)
    counts = tables.frame(
        "select coalesce(domain, 'in') as domain, coalesce(relation, 'all') as relation, "
        "count(*) filter (hit) as hits, count(*) as n "
        f"from ({query}) group by 1, 2 order by 1, 2",
        values,
    )
    found = {}
    for domain in DOMAINS:
        rows = counts.filter(pl.col("domain") == domain)
        estimate = macro(rows["hits"].to_list(), rows["n"].to_list())
        if estimate is not None:
            found[domain] = estimate
    return Scored(int(counts["n"].sum()), found)
