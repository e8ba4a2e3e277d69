"""Filling, comparing and checking cloze templates."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import TEMPLATES_SCHEMA
from sixtyfold.core.templates import (
    check_subjects,
    check_templates,
    fill,
    overlap,
    template_table,
)


@given(st.text(), st.text())
def test_filling_puts_both_in_unchanged(subject: str, question: str) -> None:
    text = fill("<{subject}> [{question}]", subject, question)
    assert text == f"<{subject}> [{question}]"


def test_only_an_article_is_capitalised() -> None:
    assert fill("{subject} is", "the Gambia", "") == "The Gambia is"
    assert fill("{subject} is", "iPhone", "") == "iPhone is"
    assert fill("In {subject}", "the Gambia", "") == "In the Gambia"


def test_overlap_by_hand() -> None:
    # {the, capital, of, is} and {the, capital, city, of, is}: 4 of 5
    assert overlap("The capital of {subject} is", "The capital city of {subject} is") == 0.8
    assert overlap("{subject} is", "{subject} lies") == 0.0


def test_table_keeps_the_order_given() -> None:
    frame = template_table({"b": ["{subject} x", "{subject} y"], "a": ["{subject} z"]})
    assert frame.schema == TEMPLATES_SCHEMA
    assert frame.rows() == [
        ("a", 0, "{subject} z"),
        ("b", 0, "{subject} x"),
        ("b", 1, "{subject} y"),
    ]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "has no template"),
        (["no place"], "neither {subject} nor {question}"),
        (["{subject} is "], "ends with a space"),
    ],
)
def test_what_is_no_template(texts: list[str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        template_table({"r": texts})


def test_check_refuses_doubled_numbers_and_missing_columns() -> None:
    frame = template_table({"r": ["{subject} a"]})
    with pytest.raises(BadInput, match="stands twice"):
        check_templates(pl.concat([frame, frame]), "here")
    with pytest.raises(BadInput, match="missing here: text"):
        check_templates(frame.drop("text"), "here")


def test_a_template_with_a_hole_is_refused() -> None:
    facts = pl.DataFrame(
        {"relation": ["a", "b"], "subject": ["France", ""], "question": ["x", "y?"]}
    )
    named = template_table({"a": ["{subject} is"], "b": ["{question} It is"]})
    check_subjects(facts, named, "here")
    holed = template_table({"a": ["{subject} is"], "b": ["{subject} is"]})
    message = r"here: template '\{subject\} is' of 'b' needs a subject and fact 'y\?' has none"
    with pytest.raises(BadInput, match=message):
        check_subjects(facts, holed, "here")
