"""Whether two models differ by more than chance, over the facts both answered.

Per domain: the micro difference with exact McNemar, the macro difference for these relations
(stratified), the macro difference for new relations of the kind (t over relations). All tests of
one comparison are one family, adjusted after Holm.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.paired_tests import (
    Difference,
    difference_of_new,
    holm,
    micro_difference,
    stratified_difference,
)
from sixtyfold.stages.compare.transitions import counts_by, state_counts

TESTS = ("micro", "these_relations", "new_relations")


def compare_domain(rows: pl.DataFrame) -> dict[str, Difference | None]:
    """Return the differences after − before over one domain.

    Args:
        rows: rows of a transitions table.

    Returns:
        The tests of `TESTS` by name; None where one is not defined (no facts, one relation).
    """
    states = state_counts(rows)
    relations = counts_by(rows, "relation")
    strata = [relations[name].to_list() for name in ("gained", "lost", "n")]
    return {
        "micro": micro_difference(states["gained"], states["lost"], rows.height),
        "these_relations": stratified_difference(*strata),
        "new_relations": difference_of_new(*strata),
    }


def macro_difference(rows: pl.DataFrame) -> Difference | None:
    """Return the macro difference over these relations (the headline comparison)."""
    return compare_domain(rows)["these_relations"]


def comparison(rows: pl.DataFrame) -> dict[str, Any]:
    """Return everything `comparison.json` says about a transitions table.

    Returns:
        {"domains": {"in": {"n", "transitions", "micro", "these_relations", "new_relations"},
        "out": ...}, "by_level": [...], "by_relation": [...], "family": names of the tests that
        Holm's adjustment ran over}. Each difference: value, low, high, n, p, p_holm, detectable.
    """
    domains: dict[str, Any] = {}
    family: list[tuple[str, str]] = []
    for domain in DOMAINS:
        part = rows.filter(pl.col("domain") == domain)
        differences = compare_domain(part)
        domains[domain] = {
            "n": part.height,
            "transitions": state_counts(part),
            **{name: found and found.rounded() for name, found in differences.items()},
        }
        family += [(domain, name) for name, found in differences.items() if found]
    adjusted = holm([domains[domain][name]["p"] for domain, name in family])
    for (domain, name), p_holm in zip(family, adjusted, strict=True):
        domains[domain][name]["p_holm"] = float(f"{p_holm:.6g}")
    return {
        "domains": domains,
        "by_level": counts_by(rows, "level").to_dicts(),
        "by_relation": counts_by(rows, "relation").to_dicts(),
        "family": [f"{domain}:{name}" for domain, name in family],
    }
