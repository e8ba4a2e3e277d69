"""The figures of `facts inspect`, by hand."""

import polars as pl

from sixtyfold.core.facts import FACTS_SCHEMA, fact_id
from sixtyfold.sources.inspect import inspect


def fact(relation: str, subject: str, objects: list[str], split: str, **more: object) -> dict:
    question = more.pop("question", f"What of {subject} is {relation}?")
    return {
        "fact_id": fact_id(relation, subject, str(question)),
        "relation": relation,
        "subject": subject,
        "objects": objects,
        "question": question,
        "split": split,
        "domain": "in",
        "flags": [],
        "popularity": None,
        **more,
    }


def test_every_figure_by_hand() -> None:
    rows = [
        fact("city", "Bank of Madrid", ["Madrid"], "train"),
        fact("city", "Prado", ["Madrid", "Madrid, Spain"], "dev", flags=["several_answers"]),
        fact("city", "Louvre", ["Paris"], "test", question="Where is it?"),
        fact("city", "louvre ", ["paris"], "test", flags=["ambiguous"]),
        fact("place", "Louvre", ["France"], "train", question="where  is IT?"),
    ]
    table = inspect(pl.DataFrame(rows, schema=FACTS_SCHEMA)).rows(named=True)
    assert table[0] == {
        "relation": "city",
        "domain": "in",
        "facts": 4,
        "train": 1,
        "dev": 1,
        "test": 2,
        "subjects": 3,
        "answers": 2,
        "top_answer": "Madrid",
        "top_share": 0.5,
        "in_subject_share": 0.25,
        "several_answers": 2,
        "shared_questions": 1,
    }
    assert table[1]["shared_questions"] == 1
