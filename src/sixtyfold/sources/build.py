"""The `facts` stage: a fact set written down, so that later stages read the same one."""

from __future__ import annotations

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import SPLITS, seeded_order
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.sources.open import open_facts
from sixtyfold.sources.sample import sample_split
from sixtyfold.sources.spec import FactsBuildSpec


def build(spec: FactsBuildSpec) -> Finished:
    """Write the tables `facts` and `templates` of a fact set or a sample of it.

    Raises:
        BadInput: the facts cannot be opened, a sampled split is empty, or `limit` exceeds what
            there is.
    """
    source = open_facts(spec.facts, spec.read_options())
    facts = limited(sampled(source.facts, spec), spec)
    templates = source.templates.filter(pl.col("relation").is_in(facts["relation"].unique()))
    with open_stage("facts", spec, {"facts": source.fingerprint}) as directory:
        if directory.complete:
            return finished(spec.out, "facts")
        directory.write_table("facts", facts)
        directory.write_table("templates", templates)
        rows = {"facts": facts.height, "templates": templates.height}
        return directory.finish(rows, source=source.name, notes=list(source.notes))


def plan(spec: FactsBuildSpec) -> dict[str, int]:
    """Return how many facts of each split `build` would write, writing nothing."""
    facts = limited(sampled(open_facts(spec.facts, spec.read_options()).facts, spec), spec)
    return {split: facts.filter(pl.col("split") == split).height for split in SPLITS}


def sampled(facts: pl.DataFrame, spec: FactsBuildSpec) -> pl.DataFrame:
    """Return the facts of every split, sampled where a size is given; sorted by key."""
    if spec.per_relation is not None:
        facts = per_relation(facts, spec.per_relation, spec.seed)
    parts = []
    for split in SPLITS:
        size = getattr(spec, split)
        rows = facts.filter(pl.col("split") == split)
        parts.append(rows if size is None else sample_split(facts, split, size, spec.seed))
    return pl.concat(parts).sort("fact_id")


def per_relation(facts: pl.DataFrame, most: int, seed: int) -> pl.DataFrame:
    """Return at most so many facts of each relation and split, the first of a seeded shuffle."""
    shuffled = facts[seeded_order(facts["fact_id"].to_list(), seed)]
    turn = pl.int_range(pl.len()).over("relation", "split")
    return shuffled.filter(turn < most).sort("fact_id")


def limited(facts: pl.DataFrame, spec: FactsBuildSpec) -> pl.DataFrame:
    """Return the first `limit` facts of a seeded shuffle, sorted by key.

    Raises:
        BadInput: there are fewer facts.
    """
    if spec.limit is None:
        return facts
    if spec.limit > facts.height:
        raise BadInput(
            f"--limit {spec.limit} was given and there are {facts.height} facts; lower it"
        )
    order = seeded_order(facts["fact_id"].to_list(), spec.seed)
    return facts[order[: spec.limit]].sort("fact_id")
