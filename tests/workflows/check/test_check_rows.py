"""Rows of every form a training file may have, and rows that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.records import Record
from sixtyfold.workflows.check.rows import SftFile, read_rows


def read(*values: dict[str, Any], columns: str | None = None) -> SftFile:
    records = [Record(f"line {number}", each) for number, each in enumerate(values, start=1)]
    return read_rows(records, Path("t.jsonl"), columns)


QUESTION = "What is the capital of France?"
ANSWER = "Paris"
PAPERS = f"<|question|> {QUESTION} <|answer|>"


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("prompt/completion", {"prompt": QUESTION, "completion": " Paris"}),
        ("prompt/completion", {"prompt": f"Question: {QUESTION}\nAnswer:", "completion": " Paris"}),
        ("prompt/completion", {"prompt": PAPERS, "response": ANSWER}),
        ("prompt/completion", {"Prompt": f"Q: {QUESTION}\nA:", "Completion": "Paris"}),
        ("instruction/output", {"instruction": QUESTION, "input": "", "output": "Paris"}),
        ("question/answer", {"question": QUESTION, "answer": "Paris"}),
        ("question/answer", {"question": QUESTION, "answers": ["Paris", "Lutetia"]}),
        (
            "messages",
            {
                "messages": [
                    {"role": "user", "content": QUESTION},
                    {"role": "assistant", "content": "Paris"},
                ]
            },
        ),
        (
            "messages",
            {
                "conversations": [
                    {"from": "human", "value": QUESTION},
                    {"from": "gpt", "value": ANSWER},
                ]
            },
        ),
        (
            "prompt/completion",
            {
                "prompt": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}],
                "completion": [{"role": "assistant", "content": "Paris"}],
            },
        ),
    ],
)  # fmt: skip
def test_every_form_gives_the_same_question_and_answer(form: str, values: dict[str, Any]) -> None:
    found = read(values)
    assert found.form == form
    (row,) = found.rows
    assert (row.complaint, row.question, row.answer.strip()) == ("", QUESTION, "Paris")
    assert row.accepted[0] == "Paris"
    assert len(row.turns) == 1


def test_the_last_answer_of_a_conversation_counts_and_the_system_message_is_kept() -> None:
    turns = [
        ("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"),
        ("user", QUESTION), ("assistant", "Paris"), ("user", "Thanks"),
    ]  # fmt: skip
    (row,) = read({"messages": [{"role": r, "content": c} for r, c in turns]}).rows
    assert (row.system, row.question, row.answer) == ("Be brief.", QUESTION, "Paris")
    assert [each["content"] for each in row.turns] == ["Hi", "Hello", QUESTION]


def test_messages_may_be_written_as_json_in_a_csv() -> None:
    given = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Paris"}]
    (row,) = read({"messages": json.dumps(given)}).rows
    assert (row.question, row.answer) == (QUESTION, "Paris")


def test_input_stands_behind_the_instruction() -> None:
    (row,) = read({"instruction": "Add.", "input": "1 2", "output": "3"}).rows
    assert row.question == "Add.\n1 2"


def test_other_answers_and_aliases_are_accepted() -> None:
    (row,) = read({"question": QUESTION, "answer": "Paris", "aliases": ["Lutetia", "Paris"]}).rows
    assert (row.answer, row.accepted) == ("Paris", ("Paris", "Lutetia"))
    (row,) = read({"q1": QUESTION, "gold": "Paris|x"}, columns="question=q1,answers=gold").rows
    assert row.accepted == ("Paris|x",)
    (row,) = read({"question": QUESTION, "answers": '["Paris", "Lutetia"]'}).rows
    assert (row.answer, row.accepted) == ("Paris", ("Paris", "Lutetia"))
    (row,) = read({"question": "Which bracket opens?", "answer": "[a"}).rows
    assert (row.complaint, row.answer) == ("", "[a")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"messages": None}, "a list of messages is needed, found nothing"),
        ({"messages": []}, "a list of messages is needed, found a list"),
        ({"messages": "[1"}, "not JSON"),
        ({"messages": ["hi"]}, "a message is a str, not an object"),
        ({"messages": [{"content": "x"}]}, "a message has no role"),
        ({"messages": [{"role": "user", "content": "x"}]}, "no message of the assistant"),
        ({"messages": [{"role": "user", "content": [{"image": 1}]}]}, "something that is no text"),
        ({"messages": [{"role": "user", "content": True}]}, "needs text and holds a bool"),
        ({"prompt": {"a": 1}, "completion": "x"}, "'prompt' needs text and holds a dict"),
        ({"prompt": "x", "completion": float("nan")}, "'completion' holds nan, which is no text"),
        ({"question": "a\ud800", "answer": "b"}, "half a character"),
        ({"question": "a", "answer": {"x": "b"}}, "holds a dict with 'x'"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_says_why_and_the_next_is_read(
    values: dict[str, Any], complaint: str
) -> None:
    first, second = read(values, dict.fromkeys(values)).rows
    assert complaint in first.complaint
    assert (first.place, second.place) == ("line 1", "line 2")


def test_columns_of_no_known_form_are_refused() -> None:
    with pytest.raises(BadInput, match=r"t\.jsonl: columns here: 'text'; needed are 'messages'"):
        read({"text": "once upon a time"})
