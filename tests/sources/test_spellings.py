"""Spellings of names."""

import pytest

from sixtyfold.sources.spellings import accepted, folded, plain, stands_in


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Saint-Étienne", "St. Etienne"),
        ("N'Djamena", "N’Djamena"),
        ("Łódź", "Lodz"),
        ("SÃO PAULO", "Sao  Paulo"),
    ],
)
def test_equal_spellings(one: str, two: str) -> None:
    assert folded(one) == folded(two)


def test_unaccented_forms_follow_the_given_ones() -> None:
    assert accepted(["Chișinău", "Kishinev", ""]) == ["Chișinău", "Kishinev", "Chisinau"]
    assert plain("Reykjavík") == "Reykjavik"


def test_an_answer_stands_in_a_subject_as_whole_words() -> None:
    assert stands_in("New York", "New York City")
    assert not stands_in("Niger", "Nigeria")
    assert not stands_in("York City Hall", "New York City")
