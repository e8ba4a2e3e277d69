"""The shipped templates: enough of them, really different, the object last."""

from __future__ import annotations

import itertools
import string

import pytest

from sixtyfold.core.templates import fill, overlap
from sixtyfold.sources.clean import YE2025_IN_DOMAIN
from sixtyfold.sources.relations import question_templates, read_data

RELATIONS = {
    **read_data("entityquestions.yaml"),
    **read_data("atlas.yaml"),
}


def test_all_relations_are_there() -> None:
    entityquestions = set(read_data("entityquestions.yaml"))
    assert len(entityquestions) == 24
    assert set(YE2025_IN_DOMAIN) < entityquestions
    assert len(read_data("atlas.yaml")) == 10


@pytest.mark.parametrize("relation", RELATIONS)
def test_templates_of_a_relation(relation: str) -> None:
    texts = RELATIONS[relation]["templates"]
    assert len(texts) >= 21
    for text in texts:
        names = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
        assert names == ["subject"], text
        assert text == text.strip(), text
        assert fill(text, "Xyz", "").count("Xyz") == 1
    pairs = itertools.combinations(texts, 2)
    assert max((overlap(*pair), *pair) for pair in pairs)[0] <= 0.6


def test_questions_have_one_subject() -> None:
    for about in read_data("entityquestions.yaml").values():
        assert about["question"].count("{subject}") == 1


def test_question_forms_hold_the_question_once_and_differ() -> None:
    texts = question_templates()
    assert len(texts) == 21
    assert all(text.count("{question}") == 1 for text in texts)
    assert all(overlap(*pair) <= 0.6 for pair in itertools.combinations(texts, 2))
