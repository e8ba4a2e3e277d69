"""What a user may ask of any fact set: domains, no ambiguous facts, no entities across splits."""

from __future__ import annotations

import polars as pl

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.sources.held_out import named, shared_with_held_out
from sixtyfold.sources.options import ReadOptions

#: In domain in arXiv 2509.16596 (its other 14 EntityQuestions relations are only tested).
YE2025_IN_DOMAIN = ("P17", "P19", "P20", "P36", "P69", "P131", "P159", "P276", "P495", "P740")


def clean(facts: pl.DataFrame, options: ReadOptions) -> tuple[pl.DataFrame, list[str]]:
    """Return the facts as the options want them, and notes on what that changed.

    Raises:
        BadInput: `in_domain` names a relation that is not here, or nothing is left.
    """
    notes = []
    if options.in_domain is not None:
        facts = _with_domains(facts, options.in_domain)
    before = facts.height
    if options.ambiguous == "drop":
        facts = facts.filter(~pl.col("flags").list.contains("ambiguous"))
        notes.append(f"{before - facts.height:,} ambiguous facts dropped")
    if options.disjoint != "none":
        shared = shared_with_held_out(facts, options.disjoint)
        facts = facts.filter(~pl.col("fact_id").is_in(shared["fact_id"].implode()))
        notes.append(
            f"{shared['fact_id'].n_unique():,} training facts dropped that share "
            f"{'a subject' if options.disjoint == 'subjects' else 'an entity'} with dev or test"
        )
        notes += named(shared)
    if facts.is_empty() and before:
        raise BadInput("no fact is left after --ambiguous and --disjoint; ask for less")
    return facts, notes


def _with_domains(facts: pl.DataFrame, in_domain: str) -> pl.DataFrame:
    known = sorted(facts["relation"].unique())
    if in_domain == "ye2025":
        wanted = set(YE2025_IN_DOMAIN)
        if not wanted & set(known):
            raise BadInput(
                "--in-domain ye2025 names relations of EntityQuestions (P17, P19, ...); "
                f"relations here: {', '.join(known)}"
            )
    else:
        wanted = {name.strip() for name in in_domain.split(",")}
        missing = sorted(wanted - set(known))
        if missing:
            raise BadInput(
                f"--in-domain names {missing[0]!r}, which is no relation here"
                f"{suggestion(missing[0], known)}; relations here: {', '.join(known)}"
            )
    return facts.with_columns(
        domain=pl.when(pl.col("relation").is_in(sorted(wanted)))
        .then(pl.lit("in"))
        .otherwise(pl.lit("out"))
    )
