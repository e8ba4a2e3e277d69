"""The searches of a study over its seeds: which way of putting weights back is better."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.study.any_store import Store
from sixtyfold.study.file import StudyFile
from sixtyfold.study.plan import Plan
from sixtyfold.study.ways import LABELS, Trained, ways


def over_seeds(store: Store, study: StudyFile, plan: Plan) -> pl.DataFrame:
    """Return the arms of all searches, the seeds of one training taken together.

    Returns:
        one row per training, search, domain, reference and arm: what
        `search_replicas.over_replicas` returns, with the labels of the training.

    Raises:
        BadInput: the study has no search, or fewer than two seeds of any were searched.
    """
    roles = sorted({role for cell in plan.cells for role in cell.jobs if role.startswith("search")})
    if not roles:
        raise BadInput("the study has no search (yet); 'search: {}' in a grid asks for one")
    found = [
        _together(store, plan, way, role) for role in roles for way in ways(study, plan, (), role)
    ]
    tables = [table for table in found if table is not None]
    if not tables:
        raise BadInput(
            "fewer than two seeds of every training have been searched; 'sixtyfold study status' "
            "says what is left"
        )
    return pl.concat(tables, how="diagonal_relaxed")


def _together(store: Store, plan: Plan, way: Trained, role: str) -> pl.DataFrame | None:
    from sixtyfold.workflows.search_replicas import over_replicas

    there = [key for _, key in sorted(way.results.items()) if store.is_recorded(key)]
    if len(there) < 2:
        return None
    table = over_replicas([store.open(plan.jobs[key]) for key in there])
    others = {name: value for name, value in way.labels.items() if name not in LABELS}
    labels: dict[str, Any] = {
        **{name: way.labels[name] for name in LABELS},
        "options": ", ".join(f"{name} {value}" for name, value in others.items()) or None,
        "search": role,
    }
    columns = [pl.lit(value, dtype=pl.String).alias(name) for name, value in labels.items()]
    return table.select(*columns, pl.all(), pl.lit(there).alias("keys"))
