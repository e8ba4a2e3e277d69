"""Planted leaks: each must be found and named, with the held-out fact it is shared with."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_up_facts import fact
from sixtyfold.core.facts import FACTS_SCHEMA
from sixtyfold.sources.held_out import OVERLAP_SCHEMA, entity_key, shared_with_held_out


def table(*facts: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(facts, schema=FACTS_SCHEMA).sort("fact_id")


def leaks(entities: Any, *facts: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Return shared, what, training question, held-out question, held-out split of each leak."""
    found = shared_with_held_out(table(*facts), entities)
    assert found.schema == OVERLAP_SCHEMA
    columns = ("shared", "what", "question", "held_out_question", "held_out_split")
    return found.select(columns).rows()


CLEAN = [
    fact("Lyon", ["France"], "train"),
    fact("Lima", ["Peru"], "test"),
    fact("Oslo", ["Norway"], "dev"),
]


@pytest.mark.parametrize("entities", ["none", "subjects", "entities"])
def test_facts_that_share_nothing_share_nothing(entities: str) -> None:
    assert leaks(entities, *CLEAN) == []
    assert leaks(entities, *CLEAN[:1]) == []
    assert leaks(entities, *CLEAN[1:]) == []
    assert leaks(entities) == []


def test_a_test_question_under_another_relation_in_train_is_named() -> None:
    asked, held = "where is  KEW located?", "Where is Kew located?"
    found = leaks(
        "none",
        *CLEAN,
        fact("Kew", ["London"], "train", relation="P131", question=asked),
        fact("Kew", ["Surrey"], "test", relation="P276", question=held),
    )
    assert found == [("question", asked, asked, held, "test")]


def test_one_key_in_two_splits_is_named() -> None:
    # A table that `facts_of_rows` did not make may hold it.
    held = fact("Lyon", ["France"], "dev", question="Another wording?")
    found = leaks("none", *CLEAN, held)
    question = "What is the capital of Lyon?"
    assert found == [("fact", held["fact_id"], question, "Another wording?", "dev")]


@pytest.mark.parametrize(
    "name",
    [
        "MOSKVA",  # case
        "Ｍｏｓｋｖａ",  # width
        "Moskvá",  # accent
        "Москва",  # script
        "МОСКВА",
        "The Moskva",
        " moskva ",
    ],
)
@pytest.mark.parametrize(
    ("entities", "expected"), [("none", []), ("subjects", ["subject"]), ("entities", ["subject"])]
)
def test_the_same_subject_in_another_spelling(
    entities: str, expected: list[str], name: str
) -> None:
    training = fact(name, ["Eurasia"], "train", relation="continent")
    held = fact("Moskva", ["Russia"], "test")
    assert leaks(entities, *CLEAN, training, held) == [
        (shared, name, training["question"], held["question"], "test") for shared in expected
    ]


@pytest.mark.parametrize("entities", ["subjects", "entities"])
def test_other_words_are_other_entities(entities: str) -> None:
    facts = [fact("New York", ["a"], "train"), fact("New York City", ["b"], "test")]
    assert (
        leaks(entities, *facts, fact("Niger", ["c"], "train"), fact("Nigeria", ["d"], "dev")) == []
    )


def test_answers_are_looked_at_among_entities_only() -> None:
    training = fact("Cusco", ["PERÚ"], "train")
    held = CLEAN[1]
    assert leaks("subjects", *CLEAN, training) == []
    expected = ("answer", "PERÚ", training["question"], held["question"], "test")
    assert leaks("entities", *CLEAN, training) == [expected]


def test_a_training_subject_that_is_a_held_out_answer_and_the_other_way_round() -> None:
    subject = fact("Peru", ["America"], "train", relation="continent")
    answer = fact("Callao", ["Oslo"], "train", relation="twin")
    expected = {
        ("subject", "Peru", subject["question"], CLEAN[1]["question"], "test"),
        ("answer", "Oslo", answer["question"], CLEAN[2]["question"], "dev"),
    }
    assert set(leaks("entities", *CLEAN, subject, answer)) == expected


@pytest.mark.parametrize(
    ("training", "held", "what"),
    [
        # The held-out fact accepts both names, the training fact has one of them ...
        (fact("Москва", ["x"], "train"), fact("Kremlin", ["Moscow", "Moskva"], "test"), "Москва"),
        (
            fact("Arbat", ["MOSKVA"], "train"),
            fact("Kremlin", ["Moscow", "Москва"], "test"),
            "MOSKVA",
        ),
        # ... or the training fact accepts both and the held-out one asks about one of them.
        (fact("Arbat", ["Moscow", "Moskva"], "train"), fact("Москва", ["y"], "dev"), "Moskva"),
    ],
)
def test_an_alias_bridges_two_names(
    training: dict[str, Any], held: dict[str, Any], what: str
) -> None:
    found = leaks("entities", *CLEAN, training, held)
    assert [row[1:] for row in found] == [
        (what, training["question"], held["question"], held["split"])
    ]


def test_two_facts_that_differ_in_all_names_are_not_bridged_by_a_third() -> None:
    third = fact("Forbidden City", ["Beijing", "Peking"], "train")
    training = fact("Great Wall", ["Peking"], "train")
    held = fact("Summer Palace", ["Beijing"], "test")
    assert [row[2] for row in leaks("entities", training, third, held)] == [third["question"]]


def test_one_row_per_fact_and_kind_and_all_kinds_told() -> None:
    training = fact("Lima", ["Peru", "Norway"], "train", relation="x", question="Lima?")
    held = fact("Lima", ["Peru"], "dev", relation="y", question="lima?")
    found = leaks("entities", *CLEAN, training, held)
    assert [row[:2] for row in found] == [
        ("answer", "Peru"),
        ("question", "Lima?"),
        ("subject", "Lima"),
    ]


def test_facts_without_a_subject_do_not_share_it() -> None:
    facts = [fact("", ["a"], "train", question="q1"), fact("", ["b"], "test", question="q2")]
    assert leaks("entities", *facts) == []


def test_names_without_a_word_are_compared_as_they_are() -> None:
    facts = [fact("!!!", ["a"], "train", relation="x"), fact("???", ["b"], "test")]
    assert leaks("subjects", *facts) == []
    same = fact("!!!", ["c"], "test")
    assert [row[:2] for row in leaks("subjects", *facts, same)] == [("subject", "!!!")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("København", "kobenhavn"),
        ("Saint-Étienne", "St. Etienne"),
        ("東京", "东京"),
        ("The Beatles", "beatles"),
        ("Ünal, Ali", "unal ali"),
        ("L’Aquila", "L'Aquila"),
    ],
)
def test_equal_entities(one: str, other: str) -> None:
    assert entity_key(one) == entity_key(other)


names = st.sampled_from(["Lima", "LIMA", "Líma", "Лима", "Oslo", "the Oslo", "Rome", "", "!!!"])


@given(
    facts=st.lists(
        st.builds(
            fact,
            names,
            st.lists(names.filter(bool), min_size=1, max_size=2),
            st.sampled_from(["train", "dev", "test"]),
            relation=st.sampled_from(["a", "b", "c", "d"]),
        ),
        max_size=7,
        unique_by=lambda each: each["fact_id"],
    ),
    entities=st.sampled_from(["none", "subjects", "entities"]),
)
def test_found_is_exactly_what_pairwise_comparison_finds(
    facts: list[dict[str, Any]], entities: Any
) -> None:
    def shared(training: dict[str, Any], held: dict[str, Any]) -> bool:
        subjects = {entity_key(each["subject"]) for each in (training, held)} - {""}
        same = (
            entities != "none"
            and len(subjects) == 1
            and ""
            not in (
                training["subject"],
                held["subject"],
            )
        )
        if entities == "entities":
            ours, theirs = (
                {entity_key(name) for name in [each["subject"], *each["objects"]]} - {""}
                for each in (training, held)
            )
            same = bool(ours & theirs)
        return same or training["question"].casefold() == held["question"].casefold()

    expected = {
        training["fact_id"]
        for training in facts
        for held in facts
        if training["split"] == "train" != held["split"] and shared(training, held)
    }
    found = shared_with_held_out(table(*facts), entities)
    assert set(found["fact_id"]) == expected
    held_out = {each["fact_id"] for each in facts if each["split"] != "train"}
    assert set(found["held_out_fact_id"]) <= held_out
