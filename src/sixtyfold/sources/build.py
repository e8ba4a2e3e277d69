"""The `facts` stage: a fact set written down, so that later stages read the same one."""

from __future__ import annotations

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import seeded_order
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.sources.open import FactSet, open_facts
from sixtyfold.sources.spec import FactsBuildSpec


def build(spec: FactsBuildSpec) -> Finished:
    """Write `facts.parquet` and `templates.parquet` of a fact set.

    Raises:
        BadInput: the facts cannot be opened, or `limit` exceeds their number.
    """
    source = open_facts(spec.facts)
    facts = limited(source.facts, spec.limit, spec.seed)
    templates = source.templates.filter(pl.col("relation").is_in(facts["relation"].unique()))
    with open_stage("facts", spec, {"facts": source.fingerprint}) as directory:
        if directory.complete:
            return finished(spec.out, "facts")
        directory.write_table("facts", facts)
        directory.write_table("templates", templates)
        rows = {"facts": facts.height, "templates": templates.height}
        return directory.finish(rows, source=source.name, notes=list(source.notes))


def limited(facts: pl.DataFrame, limit: int | None, seed: int) -> pl.DataFrame:
    """Return the first `limit` facts of a seeded shuffle, sorted by key.

    Raises:
        BadInput: there are fewer facts.
    """
    if limit is None:
        return facts
    if limit > facts.height:
        raise BadInput(f"--limit {limit} was given and there are {facts.height} facts; lower it")
    return facts[seeded_order(facts["fact_id"].to_list(), seed)[:limit]].sort("fact_id")


def plan(spec: FactsBuildSpec) -> dict[str, int]:
    """Return how many facts and templates `build` would write, writing nothing."""
    source: FactSet = open_facts(spec.facts)
    facts = limited(source.facts, spec.limit, spec.seed)
    relations = facts["relation"].unique()
    templates = source.templates.filter(pl.col("relation").is_in(relations))
    return {"facts": facts.height, "templates": templates.height}
