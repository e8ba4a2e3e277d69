"""What a fact set holds, relation by relation."""

from __future__ import annotations

import functools
from typing import NamedTuple

import polars as pl

from sixtyfold.core.facts import SPLITS, normalise
from sixtyfold.sources.held_out import named, shared_with_held_out
from sixtyfold.sources.open import open_facts
from sixtyfold.sources.spec import FactsInspectSpec
from sixtyfold.sources.spellings import folded

_SEVERAL = pl.col("flags").list.contains("ambiguous") | pl.col("flags").list.contains(
    "several_answers"
)


class Inspection(NamedTuple):
    """The figures of a fact set, and what was guessed or changed when it was opened."""

    table: pl.DataFrame
    notes: tuple[str, ...]


def run(spec: FactsInspectSpec) -> Inspection:
    """Return the inspection of a fact set; its notes name what train shares with dev and test.

    Raises:
        what `open_facts` raises.
    """
    source = open_facts(spec.facts, spec.read_options())
    shared = shared_with_held_out(source.facts)
    return Inspection(inspect(source.facts), (*source.notes, *named(shared)))


def inspect(facts: pl.DataFrame) -> pl.DataFrame:
    """Return one row per relation: sizes, and the traps of its answers and splits.

    Names are compared normalised (case, width, spaces).

    Args:
        facts: a table of `FACTS_SCHEMA`.

    Returns:
        Sorted by domain and relation, the columns

        - relation, domain (in, out, or mixed), facts, train, dev, test: counts of facts;
        - subjects, answers: distinct names; of the answers the first of each fact;
        - top_answer, top_share: the most common first answer as it is written, the first by
          alphabet among equals, and its share of the facts (the majority baseline);
        - in_subject_share: facts with an accepted answer whose words stand in the subject;
        - several_answers: facts flagged `ambiguous` (rows of one key whose answers contradict each
          other, or a name that several entities bear) or `several_answers` (the source knows more
          than one right answer). A list of answers alone does not count: it may hold spellings;
        - in_several_splits: facts whose rows stood in more than one split before they were
          merged (the flag of that name); now each stands in one;
        - shared_questions: distinct questions that still stand in more than one split, each time
          under another fact, of this relation or of another.
    """
    rows = facts.select(
        "relation",
        "domain",
        "split",
        "flags",
        subject=_normalised(facts["subject"]),
        question=_normalised(facts["question"]),
        written=pl.col("objects").list.first(),
        answer=_normalised(facts["objects"].list.first()),
        copied=_copied(facts),
    )
    shared = pl.col("split").n_unique().over("question") > 1
    figures = rows.with_columns(shared=shared).group_by("relation").agg(_figures())
    common = (
        rows.group_by("relation", "written")
        .agg(times=pl.len())
        .sort("relation", "times", "written", descending=[False, True, False])
        .unique("relation", keep="first", maintain_order=True)
    )
    return (
        figures.join(common, on="relation")
        .with_columns(
            pl.col(pl.UInt32).cast(pl.Int64),
            top_answer="written",
            top_share=pl.col("times") / pl.col("facts"),
        )
        .select(
            *("relation", "domain", "facts", *SPLITS, "subjects", "answers"),
            *("top_answer", "top_share", "in_subject_share"),
            *("several_answers", "in_several_splits", "shared_questions"),
        )
        .sort("domain", "relation")
    )


def _figures() -> list[pl.Expr]:
    """Return what is counted among the rows of one relation."""
    domain = pl.col("domain")
    return [
        pl.when(domain.n_unique() == 1).then(domain.first()).otherwise(pl.lit("mixed")),
        pl.len().alias("facts"),
        *[(pl.col("split") == split).sum().alias(split) for split in SPLITS],
        pl.col("subject").filter(pl.col("subject") != "").n_unique().alias("subjects"),
        pl.col("answer").n_unique().alias("answers"),
        pl.col("copied").mean().alias("in_subject_share"),
        _SEVERAL.sum().alias("several_answers"),
        pl.col("flags").list.contains("in_several_splits").sum().alias("in_several_splits"),
        pl.col("question").filter("shared").n_unique().alias("shared_questions"),
    ]


def _normalised(names: pl.Series) -> pl.Series:
    return pl.Series(names.name, [normalise(name) for name in names.to_list()], dtype=pl.String)


def _copied(facts: pl.DataFrame) -> pl.Series:
    """Whether an accepted answer's words stand in the subject, of each fact."""
    spelled = functools.cache(folded)  # most answers are those of many facts
    found = []
    for subject, objects in facts.select("subject", "objects").iter_rows():
        whole = f" {folded(subject)} "
        found.append(bool(subject) and any(f" {spelled(answer)} " in whole for answer in objects))
    return pl.Series("copied", found, dtype=pl.Boolean)
