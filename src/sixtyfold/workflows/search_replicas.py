"""Several searches over models tuned alike (other seeds), taken together: which family is better.

Every search scored the best of each family, chosen on its own dev, on the same test facts. Facts
and trainings are both samples; intervals hold both (`core/replicates.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.paired_tests import holm
from sixtyfold.core.replicates import replicated_difference
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import Finished
from sixtyfold.workflows.search_arms import REFERENCES


def over_replicas(searches: Sequence[Finished]) -> pl.DataFrame:
    """Return the difference of every arm to the tuned model and to the best interpolation.

    Args:
        searches: finished searches with a test, over the same test facts, at least two.

    Returns:
        one row per domain, reference and arm: accuracy (mean over relations and searches),
        difference with 95% interval (over facts and searches), p and p after Holm over the arms of
        one domain and reference, replicas, facts.

    Raises:
        BadInput: fewer than two searches, one has no test, two are of one tuned model, or their
            options, base, test facts or arms differ.
    """
    if len(searches) < 2:
        raise BadInput(f"{len(searches)} search was given; at least two are needed")
    tables = [_answers(each) for each in searches]
    _check_replicas(searches)
    for search, table in zip(searches, tables, strict=True):
        if not _asked(table).equals(_asked(tables[0])):
            raise BadInput(
                f"{search.path} scored other arms or facts on test than {searches[0].path}; "
                "give searches with the same options over the same facts"
            )
    rows: list[dict[str, Any]] = []
    for domain in DOMAINS:
        inside = [table.filter(pl.col("domain") == domain) for table in tables]
        for reference in REFERENCES:
            rows += _against(reference, domain, inside)
    return pl.DataFrame(rows)


def _check_replicas(searches: Sequence[Finished]) -> None:
    """Refuse searches that are no repetitions of one another, or one that is given twice."""
    tunings: dict[str, Finished] = {}
    first = searches[0]
    for search in searches:
        tuning = search.manifest["inputs"]["tuned"]
        other = tunings.get(tuning)
        if other is not None:
            raise BadInput(
                f"{other.path} and {search.path} searched one tuned model; a second look at one "
                "tuning is no second sample: give searches of models tuned with other seeds"
            )
        tunings[tuning] = search
        expected, found = _alike(first), _alike(search)
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise BadInput(
                    f"{search.path} was searched with another {name} than {first.path} "
                    f"({found.get(name)!r}, there {expected.get(name)!r}); give searches with the "
                    "same options over the same facts"
                )


def _alike(search: Finished) -> dict[str, Any]:
    """Return what must be the same in all repetitions."""
    free = StageSpec.places | {"seed", "batch"}
    options = {name: value for name, value in search.manifest["spec"].items() if name not in free}
    shared = ("base", "facts", "task")
    inputs = {name: value for name, value in search.manifest["inputs"].items() if name in shared}
    return {**options, **inputs}


def _answers(search: Finished) -> pl.DataFrame:
    if "test_answers" not in search.manifest["rows"]:
        raise BadInput(f"{search.path} was searched without a test; search without --no-test")
    return search.table("test_answers")


def _asked(table: pl.DataFrame) -> pl.DataFrame:
    return table.select("arm", "fact_id", "relation", "domain")


def _against(reference: str, domain: str, tables: Sequence[pl.DataFrame]) -> list[dict[str, Any]]:
    arms = tables[0]["arm"].unique(maintain_order=True).to_list()
    if reference not in arms:
        return []
    before_RN = _hits(tables, reference)
    strata_N = tables[0].filter(pl.col("arm") == reference)["relation"].to_list()
    rows = []
    for arm in arms:
        if arm == reference:
            continue
        after_RN = _hits(tables, arm)
        found = replicated_difference(before_RN, after_RN, strata_N)
        rows.append(
            {
                "domain": domain,
                "reference": reference,
                "arm": arm,
                "accuracy": _macro(after_RN, strata_N),
                "difference": found.value,
                **found.two_sided().cut()._asdict(),
                "replicas": len(tables),
                "facts": len(strata_N),
            }
        )
    adjusted = holm([row["p"] for row in rows])
    return [{**row, "p_holm": p} for row, p in zip(rows, adjusted, strict=True)]


def _hits(tables: Sequence[pl.DataFrame], arm: str) -> NDArray[np.bool_]:
    """Return the hits of one arm, shape (searches, facts)."""
    return np.stack([each.filter(pl.col("arm") == arm)["hit"].to_numpy() for each in tables])


def _macro(hits_RN: NDArray[np.bool_], strata_N: Sequence[str]) -> float:
    strata = np.asarray(strata_N)
    return float(np.mean([hits_RN[:, strata == name].mean() for name in np.unique(strata)]))
