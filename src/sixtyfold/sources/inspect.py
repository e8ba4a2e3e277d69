"""What a fact set holds, relation by relation."""

from __future__ import annotations

import polars as pl

from sixtyfold.core.facts import SPLITS, normalise
from sixtyfold.sources.open import open_facts
from sixtyfold.sources.spec import FactsInspectSpec


def run(spec: FactsInspectSpec) -> pl.DataFrame:
    """Return the inspection of a fact set; raises what `open_facts` raises."""
    return inspect(open_facts(spec.facts).facts)


def inspect(facts: pl.DataFrame) -> pl.DataFrame:
    """Return one row per relation.

    Returns:
        relation, domain; facts per split; distinct subjects and first answers; share of the most
        common first answer; share of facts whose answer stands in the subject; facts flagged as
        having several answers; facts whose normalised question stands in several splits.
    """
    asked = pl.col("question").map_elements(normalise, return_dtype=pl.String)
    rows = facts.with_columns(first=pl.col("objects").list.first(), asked=asked)
    shared = rows.group_by("asked").agg(splits=pl.col("split").n_unique())
    rows = rows.join(shared, on="asked")
    several = pl.col("flags").list.contains("ambiguous") | pl.col("flags").list.contains(
        "several_answers"
    )
    return (
        rows.group_by("relation", "domain")
        .agg(
            *((pl.col("split") == split).sum().alias(split) for split in SPLITS),
            subjects=pl.col("subject").n_unique(),
            answers=pl.col("first").n_unique(),
            most_common=pl.col("first").value_counts().struct.field("count").max() / pl.len(),
            answer_in_subject=pl.col("flags").list.contains("answer_in_subject").mean(),
            several_answers=several.sum(),
            questions_shared=(pl.col("splits") > 1).sum(),
        )
        .sort("relation")
    )
