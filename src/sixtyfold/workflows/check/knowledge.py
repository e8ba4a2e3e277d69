r"""Does the model know the facts of the file? Asked by their questions, in up to three forms.

    plain      "Question: ...\nAnswer:"
    few-shot   the same behind other facts of the file, several sets of them
    chat       the question in the model's own chat template, where it has one

A model that knows a fact may still fail to answer in one form, so the form that brings out most
over the whole file counts for all rows. Few-shot examples come from the other half of the file:
no fact is shown to itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import polars as pl

from sixtyfold.core.facts import FACTS_SCHEMA, normalise, seeded_order
from sixtyfold.core.prompts import PromptOptions, Shot, chat_text, question_text
from sixtyfold.core.statistics import wilson
from sixtyfold.core.templates import template_table
from sixtyfold.stages.probe.aggregate import Recall, recall_of
from sixtyfold.stages.probe.sampling import Estimate
from sixtyfold.workflows.check.rows import SftRow
from sixtyfold.workflows.check.spec import CheckSpec

Bucket = Literal["unknown", "weak", "known"]
BUCKETS: tuple[Bucket, ...] = ("unknown", "weak", "known")
#: A fact is unknown below the first recall, known from the second on.
CUTS = (0.1, 0.5)
FORMS = ("plain", "few-shot", "chat")
_HOLES = ("{question}", "{subject}")


class Asked(NamedTuple):
    """The facts of a file as the probe takes them.

    facts: a table of `FACTS_SCHEMA`; the relation is the half of the file a fact is in.
    templates: a table of `TEMPLATES_SCHEMA`.
    forms: form to the ids of its templates.
    notes: forms that were left out, and why.
    """

    facts: pl.DataFrame
    templates: pl.DataFrame
    forms: dict[str, list[int]]
    notes: list[str]


def asked_how(spec: CheckSpec) -> str:
    """Return the options that recall from questions depends on, as JSON."""
    names = ("shots", "shot_sets", "draws", "max_new_tokens", "match")
    return json.dumps({name: getattr(spec, name) for name in names})


def bucket_of(recall: float) -> Bucket:
    """Return how well a fact is known.

    >>> bucket_of(0.0), bucket_of(0.1), bucket_of(0.5)
    ('unknown', 'weak', 'known')
    """
    return BUCKETS[sum(recall >= cut for cut in CUTS)]


def key_of(row: SftRow) -> str:
    """Return the key under which a row's question and answer are probed, 16 hex digits."""
    said = f"{normalise(row.question)}\x1f{normalise(row.answer)}"
    return hashlib.blake2b(said.encode(), digest_size=8).hexdigest()


def asked_facts(
    rows: Sequence[SftRow], shown: Sequence[SftRow], tokenizer: Any, spec: CheckSpec
) -> Asked:
    """Return facts and prompts for the probe.

    Args:
        rows: the facts to ask, one or more.
        shown: the facts that may be worked examples: without problems.
        tokenizer: the model's.
        spec: how many examples and prompts.
    """
    halves = _halves([*rows, *shown], spec.seed)
    facts = {key_of(row): _fact(row, halves[normalise(row.question)]) for row in rows}
    few_shot = {half: _few_shot(shown, halves, half, spec) for half in ("first", "second")}
    there = {str(fact["relation"]) for fact in facts.values()}
    sets = min(len(few_shot[half]) for half in there)
    notes = []
    if sets < spec.shot_sets:
        notes.append(
            f"{sets} of {spec.shot_sets} few-shot prompts: too few other facts to show "
            f"{spec.shots} in each"
        )
    forms = {"plain": [0], "few-shot": list(range(1, 1 + sets))}
    chat = []
    if tokenizer.chat_template:
        forms["chat"] = [1 + sets]
        chat = [_chat(rows, tokenizer)]
    texts = {
        half: [question_text(PromptOptions(), "{question}"), *few_shot[half][:sets], *chat]
        for half in there
    }
    return Asked(
        pl.DataFrame(list(facts.values()), schema=FACTS_SCHEMA).sort("fact_id"),
        template_table(texts),
        {name: ids for name, ids in forms.items() if ids},
        notes,
    )


def _halves(rows: Sequence[SftRow], seed: int) -> dict[str, str]:
    """Return question → half of the file; one question, however answered, is in one half."""
    questions = sorted({normalise(row.question) for row in rows})
    order = seeded_order(questions, seed)
    return {questions[at]: ("first", "second")[turn % 2] for turn, at in enumerate(order)}


def _fact(row: SftRow, half: str) -> dict[str, Any]:
    return {
        "fact_id": key_of(row),
        "relation": half,
        "subject": "",
        "objects": list(row.accepted),
        "question": row.question,
        "split": "train",
        "domain": "in",
        "flags": [],
        "popularity": None,
    }


def _few_shot(
    shown: Sequence[SftRow], halves: Mapping[str, str], half: str, spec: CheckSpec
) -> list[str]:
    """Return the few-shot prompts for facts of one half: examples come from the other."""
    others = [
        row
        for row in shown
        if halves[normalise(row.question)] != half
        and not any(hole in row.question + row.answer for hole in _HOLES)
    ]
    order = seeded_order([key_of(row) for row in others], spec.seed)
    shots = [Shot(others[at].question, others[at].answer.strip()) for at in order]
    sets = min(spec.shot_sets, len(shots) // spec.shots)
    return [
        question_text(PromptOptions(), "{question}", shots[start : start + spec.shots])
        for start in range(0, sets * spec.shots, spec.shots)
    ]


def _chat(rows: Sequence[SftRow], tokenizer: Any) -> str:
    """Return the chat prompt, with the system message of the file where all rows have the same."""
    systems = {row.system for row in rows}
    options = PromptOptions(prompt_form="chat", system_prompt=systems.pop() or None)
    if systems:
        options = PromptOptions(prompt_form="chat")
    text = chat_text(tokenizer, options, "{question}").rstrip(" \t")
    bos = tokenizer.bos_token
    # The probe's tokenizer call puts a beginning in front by itself, where there is one.
    if bos and list(tokenizer("x")["input_ids"])[:1] == [tokenizer.bos_token_id]:
        text = text.removeprefix(bos)
    return text


def recall_by_form(prompts: pl.DataFrame, forms: Mapping[str, list[int]]) -> dict[str, Any]:
    """Return the recall of every fact in each form.

    Args:
        prompts: the probe's table `probe_prompts`.
        forms: form to template ids.

    Returns:
        form → fact_id → `Recall`.
    """
    found: dict[str, dict[str, Recall]] = {}
    for form, ids in forms.items():
        own = prompts.filter(pl.col("template_id").is_in(ids))
        found[form] = {
            str(key[0]): recall_of(
                [
                    Estimate.counted(row["first_prob"], row["values"])
                    for row in group.iter_rows(named=True)
                ]
            )
            for key, group in own.group_by("fact_id", maintain_order=True)
        }
    return found


def best_form(recalls: Mapping[str, Mapping[str, Recall]]) -> str:
    """Return the form with the highest mean recall over the facts; of equal ones the first."""
    return max(recalls, key=lambda form: sum(each.value for each in recalls[form].values()))


def bucket_shares(recalls: Sequence[Recall]) -> dict[str, Any]:
    """Return the share of each bucket with a 95% interval (Wilson: other facts of this kind).

    The noise of the draws is not in it; every row's own interval of recall shows that.
    """
    buckets = [bucket_of(each.value) for each in recalls]
    found: dict[str, Any] = {}
    for name in BUCKETS:
        facts = buckets.count(name)
        share = wilson(facts, len(buckets))
        found[name] = {"facts": facts, **(share.rounded() if share else {})}
    return found
