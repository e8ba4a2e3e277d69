"""Whether two models differ by more than chance, over the facts both answered.

Per domain: the micro difference with exact McNemar, the macro difference for these relations
(stratified), the macro difference for new relations of the kind (t over relations), the macro
difference over the five levels. All tests of one comparison are one family, adjusted after Holm.
Differences within one level or relation are shown with intervals and are no tests of the family.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.accuracy import LEAST_PER_LEVEL
from sixtyfold.core.facts import DOMAINS
from sixtyfold.core.levels import LEVELS
from sixtyfold.core.paired_tests import (
    Difference,
    difference_of_new,
    holm,
    micro_difference,
    stratified_difference,
)
from sixtyfold.stages.compare.transitions import counts_by, state_counts

TESTS = ("micro", "these_relations", "new_relations", "these_levels")


def compare_domain(rows: pl.DataFrame) -> dict[str, Difference | None]:
    """Return the differences after − before over one domain.

    Args:
        rows: rows of a transitions table.

    Returns:
        The tests of `TESTS` by name; None where one is not defined (no facts, one relation, a
        level with fewer than 20 facts).
    """
    states = state_counts(rows)
    relations = counts_by(rows, "relation")
    strata = [relations[name].to_list() for name in ("gained", "lost", "n")]
    return {
        "micro": micro_difference(states["gained"], states["lost"], rows.height),
        "these_relations": stratified_difference(*strata),
        "new_relations": difference_of_new(*strata),
        "these_levels": _over_levels(counts_by(rows, "level")),
    }


def _over_levels(levels: pl.DataFrame) -> Difference | None:
    if levels.height < len(LEVELS) or levels["n"].to_numpy().min() < LEAST_PER_LEVEL:
        return None
    return stratified_difference(*(levels[name].to_list() for name in ("gained", "lost", "n")))


def macro_difference(rows: pl.DataFrame) -> Difference | None:
    """Return the macro difference over these relations (the headline comparison)."""
    return compare_domain(rows)["these_relations"]


def comparison(rows: pl.DataFrame) -> dict[str, Any]:
    """Return everything `comparison.json` says about a transitions table.

    Returns:
        {"domains": {"in": {"n", "transitions", and one difference or null per name of `TESTS`},
        "out": ...}, "by_level": [...], "by_relation": [...], "family": names of the tests that
        Holm's adjustment ran over}. A difference holds value, low, high, n, p, p_holm and
        detectable (the smallest true difference found with 80% power); a row of `by_level` and
        `by_relation` the counts of the states, n, value, low and high.
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
        "by_level": _by(rows, "level"),
        "by_relation": _by(rows, "relation"),
        "family": [f"{domain}:{name}" for domain, name in family],
    }


def _by(rows: pl.DataFrame, column: str) -> list[dict[str, Any]]:
    """Return counts and the paired difference with its interval, per value of a column."""
    found = []
    for row in counts_by(rows, column).to_dicts():
        difference = micro_difference(row["gained"], row["lost"], row["n"])
        found.append({**row, **(difference.estimate.rounded() if difference else {})})
    return found
