"""What a fact set holds, relation by relation."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl

from sixtyfold.core.facts import SPLITS, normalise
from sixtyfold.sources.open import open_facts
from sixtyfold.sources.spec import FactsInspectSpec
from sixtyfold.sources.spellings import stands_in


def run(spec: FactsInspectSpec) -> pl.DataFrame:
    """Return the inspection of a fact set; raises what `open_facts` raises."""
    return inspect(open_facts(spec.facts).facts)


def inspect(facts: pl.DataFrame) -> pl.DataFrame:
    """Return one row per relation: sizes, and the traps of its answers and splits.

    Args:
        facts: a table of `FACTS_SCHEMA`.

    Returns:
        relation, domain, facts, train, dev, test (counts), subjects and answers (distinct, the
        answers by their first object), top_answer and top_share (the majority baseline),
        in_subject_share (an accepted answer stands in the subject), several_answers (facts with
        more than one right answer), shared_questions (questions that stand in more than one
        split, under this or another relation).
    """
    splits_of: dict[str, set[str]] = {}
    for question, split in facts.select("question", "split").iter_rows():
        splits_of.setdefault(normalise(question), set()).add(split)
    shared = {question for question, splits in splits_of.items() if len(splits) > 1}
    groups = facts.partition_by("relation", maintain_order=True)
    rows = [_inspect_relation(group, shared) for group in groups]
    return pl.DataFrame(rows).sort("domain", "relation") if rows else pl.DataFrame()


def _inspect_relation(group: pl.DataFrame, shared: set[str]) -> dict[str, Any]:
    firsts = Counter(objects[0] for objects in group["objects"])
    top, count = min(firsts.items(), key=lambda item: (-item[1], item[0]))
    copied = sum(
        any(stands_in(answer, subject) for answer in objects)
        for subject, objects in group.select("subject", "objects").iter_rows()
    )
    several = {"ambiguous", "several_answers"}
    questions = {normalise(each) for each in group["question"]}
    return {
        "relation": group["relation"][0],
        "domain": group["domain"][0],
        "facts": group.height,
        **{split: int((group["split"] == split).sum()) for split in SPLITS},
        "subjects": len({normalise(each) for each in group["subject"]}),
        "answers": len({normalise(each) for each in firsts}),
        "top_answer": top,
        "top_share": count / group.height,
        "in_subject_share": copied / group.height,
        "several_answers": sum(bool(several & set(flags)) for flags in group["flags"]),
        "shared_questions": len(questions & shared),
    }
