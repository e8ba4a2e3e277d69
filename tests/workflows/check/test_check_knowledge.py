"""Prompts that facts are asked with, and what their recall amounts to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.facts import check_facts
from sixtyfold.core.templates import fill
from sixtyfold.stages.probe.aggregate import Recall
from sixtyfold.workflows.check.knowledge import (
    asked_facts,
    best_form,
    bucket_shares,
    key_of,
    recall_by_form,
)
from sixtyfold.workflows.check.rows import SftRow
from sixtyfold.workflows.check.spec import CheckSpec
from word_tokenizer import WordTokenizer


def fact(number: int, answer: str = "", system: str = "") -> SftRow:
    history = [{"role": "system", "content": system}] if system else []
    asked = {"role": "user", "content": f"Who is number {number}?"}
    answer = answer or f"Name{number}"
    return SftRow(f"line {number}", (*history, asked), answer, (answer,))


def asked(rows: list[SftRow], template: str | None = None, **options: Any) -> Any:
    spec = CheckSpec(file=Path("t.jsonl"), out=Path("o"), **options)
    return asked_facts(rows, rows, WordTokenizer(template), spec)


def test_no_fact_is_shown_to_itself_and_all_prompts_ask_its_question() -> None:
    rows = [fact(number) for number in range(20)]
    found = asked(rows, shots=2, shot_sets=3)
    assert found.forms == {"plain": [0], "few-shot": [1, 2, 3]}
    assert found.notes == []
    check_facts(found.facts, "t.jsonl")
    answers = {key_of(row): row.answer for row in rows}
    for each in found.facts.iter_rows(named=True):
        own = found.templates.filter(relation=each["relation"]).sort("template_id")["text"]
        texts = [fill(text, "", each["question"]) for text in own]
        assert texts[0] == f"Question: {each['question']}\nAnswer:"
        for text in texts[1:]:
            assert text.endswith(f"\n\nQuestion: {each['question']}\nAnswer:")
            assert text.count("Question: ") == 3
            assert text.count(each["question"]) == 1
            assert answers[each["fact_id"]] not in text.split()
        assert len(set(texts)) == 4


def test_contradicting_rows_are_asked_each_with_its_own_answer_in_one_half() -> None:
    rows = [fact(1, "Ada"), fact(1, "Eve"), *(fact(number) for number in range(2, 8))]
    found = asked(rows)
    both = found.facts.filter(question="Who is number 1?")
    assert sorted(each[0] for each in both["objects"]) == ["Ada", "Eve"]
    assert both["relation"].n_unique() == 1


def test_too_few_facts_leave_few_shot_out_and_say_so() -> None:
    found = asked([fact(1), fact(2), fact(3)], shots=4, shot_sets=3)
    assert found.forms == {"plain": [0]}
    assert found.notes == ["0 of 3 few-shot prompts: too few other facts to show 4 in each"]


def test_the_chat_form_takes_the_system_message_that_all_rows_share() -> None:
    rows = [fact(number, system="Be brief.") for number in (1, 2)]
    found = asked(rows, "there", shot_sets=0)
    assert found.forms == {"plain": [0], "chat": [1]}
    text = found.templates.filter(template_id=1)["text"][0]
    assert text == "[system]Be brief.\n[user]{question}\n[assistant]"
    mixed = asked([*rows, fact(3)], "there", shot_sets=0)
    assert mixed.templates.filter(template_id=1)["text"][0] == "[user]{question}\n[assistant]"


def test_examples_with_placeholders_in_them_are_not_shown() -> None:
    rows = [fact(number, "{question}") for number in range(4)]
    assert asked(rows, shots=1).forms == {"plain": [0]}


def test_recall_of_a_form_is_the_mean_over_its_prompts() -> None:
    prompts = pl.DataFrame(
        {
            "fact_id": ["a", "a", "a", "b", "b", "b"],
            "template_id": [0, 1, 2, 0, 1, 2],
            "first_prob": [0.0] * 6,
            "values": [[0.2], [1.0], [0.5], [0.4], [0.0], [0.1]],
        }
    )
    found = recall_by_form(prompts, {"plain": [0], "few-shot": [1, 2]})
    values = {form: {key: each.value for key, each in own.items()} for form, own in found.items()}
    assert values["plain"] == pytest.approx({"a": 0.2, "b": 0.4})
    assert values["few-shot"] == pytest.approx({"a": 0.75, "b": 0.05})
    assert best_form(found) == "few-shot"  # 0.8 against 0.6
    assert all(
        each.low <= each.value <= each.high for own in found.values() for each in own.values()
    )


def test_shares_of_buckets_by_hand() -> None:
    recalls = [
        Recall(0.0, 0.0, 0.05),
        Recall(0.05, 0.0, 0.3),
        Recall(0.2, 0.15, 0.4),
        Recall(1, 0.9, 1),
    ]
    found = bucket_shares(recalls)
    facts = {name: each["facts"] for name, each in found.items()}
    assert facts == {"unknown": 2, "weak": 1, "known": 1}
    assert found["unknown"]["value"] == 0.5
    # Wilson's interval of 2 of 4, by the formula: centre 0.5, half 1.96 √(.25/4 + 1.96²/64) / 1.96.
    assert found["unknown"]["low"] == pytest.approx(0.1500, abs=1e-4)
    assert found["unknown"]["high"] == pytest.approx(0.8500, abs=1e-4)
