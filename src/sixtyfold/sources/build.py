"""Write a fact set as a finished stage."""

from __future__ import annotations

from typing import Any

import polars as pl

from sixtyfold.core.facts import SPLITS
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.sources.open import open_facts
from sixtyfold.sources.sample import sample_split
from sixtyfold.sources.spec import FactsBuildSpec


def build(spec: FactsBuildSpec) -> Finished:
    """Write the tables `facts` and `templates`.

    Raises:
        BadInput: the facts are not there, or a split holds fewer than asked for.
    """
    source = open_facts(spec.facts)
    with open_stage("facts", spec, {"facts": source.fingerprint}) as stage:
        if stage.complete:
            return finished(spec.out, "facts")
        facts = sampled(source.facts, spec)
        stage.write_table("facts", facts)
        kept = source.templates.filter(pl.col("relation").is_in(facts["relation"].unique()))
        stage.write_table("templates", kept.sort("relation", "template_id"))
        return stage.finish({"facts": facts.height, "templates": kept.height}, name=source.name)


def plan(spec: FactsBuildSpec) -> dict[str, Any]:
    """Return how many facts would be written; raises what `build` raises."""
    facts = sampled(open_facts(spec.facts).facts, spec)
    return {split: facts.filter(pl.col("split") == split).height for split in SPLITS}


def sampled(facts: pl.DataFrame, spec: FactsBuildSpec) -> pl.DataFrame:
    """Return the facts of every split, sampled where a size is given; sorted by key."""
    parts = []
    for split in SPLITS:
        size = getattr(spec, split)
        rows = facts.filter(pl.col("split") == split)
        parts.append(rows if size is None else sample_split(facts, split, size, spec.seed))
    return pl.concat(parts).sort("fact_id")
