"""Which facts are measured, and the prompts both models are given for them.

Knows facts, templates and tokenizers; runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import load_tokenizer
from sixtyfold.core.prompts import answer_lead, continuation_ids, question_ids
from sixtyfold.core.stage import finished
from sixtyfold.core.templates import fill
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.drift.spec import DriftSpec

P2_LEVEL = 4
MOST_BYTES = 1 << 28  # of float32 logits that one model gives for one chunk


class Wanted(NamedTuple):
    """Facts to measure with a `level` column, each relation's template, inputs' fingerprints."""

    facts: pl.DataFrame
    templates: dict[str, str]
    inputs: dict[str, str]


class Prompts(NamedTuple):
    """Token ids per fact, in row order of the facts.

    cloze: the base's prompt in P2's comparison. question: the prompt both models share.
    answer: the tokens of the right answer behind the question.
    """

    cloze: list[list[int]]
    question: list[list[int]]
    answer: list[list[int]]


def wanted(spec: DriftSpec) -> Wanted:
    """Return what to measure.

    Raises:
        BadInput: the split, or the levels asked for, hold no fact.
        IncompleteInput: `probe` is no finished probe.
    """
    source = open_facts(spec.facts)
    inputs = {"facts": source.fingerprint}
    facts = source.facts.filter(pl.col("split") == spec.split)
    templates = first_templates(source.templates)
    if spec.probe is None:
        facts = facts.with_columns(level=pl.lit(None, dtype=pl.Int8))
    else:
        probe = finished(spec.probe, "probe")
        inputs["probe"] = probe.fingerprint
        facts = facts.join(probe.table("probe").select("fact_id", "level"), on="fact_id")
        seen = probe.table("probe_prompts")
        templates |= best_templates(facts, seen, source.templates)
        known = facts.filter(pl.col("level") == P2_LEVEL)
        templates |= best_templates(known, seen, source.templates)
        facts = facts.filter(pl.col("level").is_in(list(spec.level_numbers)))
    if facts.is_empty():
        among = f" of level {spec.levels}" if spec.levels != "all" else ""
        probed = " that was probed" if spec.probe is not None else ""
        raise BadInput(
            f"no fact{among} in split {spec.split}{probed} to measure drift on; "
            "probe more facts, or give other --levels or no --probe"
        )
    return Wanted(facts.sort("fact_id"), templates, inputs)


def best_templates(
    facts: pl.DataFrame, prompts: pl.DataFrame, templates: pl.DataFrame
) -> dict[str, str]:
    """Return each relation's template of highest mean recall over the given facts."""
    ranked = (
        prompts.join(facts.select("fact_id", "relation"), on="fact_id")
        .group_by("relation", "template_id")
        .agg(pl.col("recall_hat").mean())
        .sort(["relation", "recall_hat", "template_id"], descending=[False, True, False])
        .unique("relation", keep="first", maintain_order=True)
        .join(templates, on=["relation", "template_id"])
    )
    return dict(zip(ranked["relation"], ranked["text"], strict=True))


def first_templates(templates: pl.DataFrame) -> dict[str, str]:
    """Return each relation's first template."""
    firsts = templates.sort("template_id").unique("relation", keep="first", maintain_order=True)
    return dict(zip(firsts["relation"], firsts["text"], strict=True))


def without_cloze(found: Wanted) -> list[str]:
    """Return the relations whose template holds the question: there the base gets no cloze."""
    relations = found.facts["relation"].unique().sort()
    return [each for each in relations if "{question}" in found.templates[each]]


def prompts_of(found: Wanted, tokenizer: Any, spec: DriftSpec) -> Prompts:
    """Return the prompts of every fact."""
    cloze, question, answer = [], [], []
    for row in found.facts.iter_rows(named=True):
        filled = fill(found.templates[row["relation"]], row["subject"], row["question"])
        cloze.append(list(tokenizer(filled)["input_ids"]))
        question.append(question_ids(tokenizer, spec, row["question"]))
        answer.append(continuation_ids(tokenizer, answer_lead(spec) + row["objects"][0]))
    return Prompts(cloze, question, answer)


def fixed_chunks(prompts: Prompts, batch: int, vocabulary: int) -> list[list[int]]:
    """Return the facts that run together, longest first; depends on the prompts' lengths alone.

    Args:
        prompts: of all facts.
        batch: most facts of a chunk.
        vocabulary: logits per row; a chunk's logits stay below `MOST_BYTES`.

    Returns:
        row indices; a chunk holds at least one fact.
    """
    rows = max(1, MOST_BYTES // (4 * vocabulary))
    lengths = [len(q) + len(a) for q, a in zip(prompts.question, prompts.answer, strict=True)]
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    chunks: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, len(prompts.answer[index])) if chunks else 0
        if not chunks or len(chunks[-1]) == batch or (len(chunks[-1]) + 1) * longest > rows:
            chunks.append([])
            longest = len(prompts.answer[index])
        chunks[-1].append(index)
    return chunks


def one_tokenizer(base: Path, tuned: Path) -> Any:
    """Return the base's tokenizer; the tuned model's may only add tokens to it.

    Raises:
        BadInput: a token of the base has another id in the tuned model, or none.
    """
    ours, theirs = load_tokenizer(base), load_tokenizer(tuned)
    other = differing_token(ours.get_vocab(), theirs.get_vocab())
    if other is not None:
        token, here, there = other
        where = "none" if there is None else str(there)
        raise BadInput(
            f"token {token!r} is number {here} of the base and {where} of the tuned model; "
            "drift needs one vocabulary (the tuned model may add tokens): give the model that "
            "was tuned as --base"
        )
    return ours


def differing_token(
    base: dict[str, int], tuned: dict[str, int]
) -> tuple[str, int, int | None] | None:
    """Return the first token of the base with another id in the tuned vocabulary, or None.

    >>> differing_token({"a": 0, "b": 1}, {"a": 0, "b": 1, "new": 2}) is None
    True
    >>> differing_token({"a": 0, "b": 1}, {"a": 0})
    ('b', 1, None)
    """
    for token, number in sorted(base.items(), key=lambda item: item[1]):
        if tuned.get(token) != number:
            return token, number, tuned.get(token)
    return None


def answer_rows(prompts: Prompts, chunk: Sequence[int]) -> int:
    """Return how many answer tokens, and so distributions, a chunk has."""
    return sum(len(prompts.answer[index]) for index in chunk)
