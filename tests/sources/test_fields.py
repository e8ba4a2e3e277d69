"""One record into the fields of a fact: the shapes of answers, and what is refused."""

import math
from typing import Any

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.fields import count, read_fields, split_of, word, words

WHERE = "t.jsonl, line 7"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("", []),
        ("Paris", ["Paris"]),
        (" New \n York ", ["New York"]),
        ("Paris|Lutetia| ", ["Paris", "Lutetia"]),
        (1.5, ["1.5"]),
        ([1969.0, -2.0], ["1969", "-2"]),
        (["Paris", None, "", "a|b", "[c]"], ["Paris", "a|b", "[c]"]),
        (("Paris", 4), ["Paris", "4"]),
        ('["Paris", 1.50]', ["Paris", "1.50"]),
        (' ["[Fe(CN)6]4-"]', ["[Fe(CN)6]4-"]),
        # SQuAD, as it is and as JSON text
        ({"text": ["Paris", "the city"], "answer_start": [3, 9]}, ["Paris", "the city"]),
        ('{"text": ["Paris"], "answer_start": [3]}', ["Paris"]),
        ({"text": [], "answer_start": []}, []),
        ([{"text": "Paris", "answer_start": 3}, {"text": "Lutetia"}], ["Paris", "Lutetia"]),
        # TriviaQA, whose test answers are kept back
        (
            {
                "value": "Paris",
                "aliases": ["Paname", "Paris"],
                "normalized_aliases": ["paname", "paris"],
                "normalized_value": "paris",
                "type": "WikipediaEntity",
            },
            ["Paris", "Paname", "Paris"],
        ),
        ({"value": "<unk>", "aliases": []}, []),
        ({"value": "Paris", "aliases": None}, ["Paris"]),
    ],
)
def test_answers_in_the_usual_shapes(value: Any, expected: list[str]) -> None:
    assert words(value, "answers", WHERE) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "'answers' needs text and holds a bool; mend the row"),
        ([["Paris", False]], "'answers' needs text and holds a bool"),
        (math.nan, "'answers' holds nan, which is no text; leave it empty"),
        ([math.inf], "'answers' holds inf, which is no text"),
        (
            {"city": "Paris"},
            "holds a dict with 'city'; of objects, those with text, value, aliases",
        ),
        ({}, "holds a dict with no keys"),
        ([[[[[["Paris"]]]]]], "'answers' is nested too deeply; give a list of texts"),
        ("['Paris', 'Lutetia']", r"'answers': not JSON .*write \[\"one\", \"two\"\] or one\|two"),
        ('["Paris", "Lut', "'answers': not JSON .Unterminated string"),
        ('["Paris"] or so', "'answers': text goes on behind the value .character 10"),
        ('[{"text": "a", "text": "b"}]', "'answers': the key 'text' stands twice"),
        ("[NaN]", "'answers': NaN is no JSON value"),
        ("[" * 50_000, "'answers': not JSON of a record"),
        ("caf\ud800", "'answers' holds half a character"),
    ],
)
def test_answers_that_are_refused(value: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        words(value, "answers", WHERE)
    assert str(refused.value).startswith(f"{WHERE}: ")
    assert "\n" not in str(refused.value)


def test_a_whole_record() -> None:
    given = {
        "question": " Where  is it? ",
        "answers": {"text": ["here"]},
        "aliases": "there|here",
        "subject": "it",
        "relation": "place",
        "split": "Validation",
        "domain": "OUT",
        "popularity": "12.0",
        "flags": ["b", "a", "b"],
    }
    assert read_fields(given, WHERE) == {
        "relation": "place",
        "subject": "it",
        "objects": ["here", "there"],
        "question": "Where is it?",
        "split": "dev",
        "domain": "out",
        "flags": ["a", "b"],
        "popularity": 12,
    }
    least = read_fields({"question": "a?", "answers": 0}, WHERE)
    assert (least["objects"], least["split"], least["domain"]) == (["0"], None, "in")
    assert (least["relation"], least["subject"], least["popularity"]) == ("question", "", None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"answers": "b"}, "the question is empty or missing; fill it in or drop the row"),
        ({"question": ["a?"], "answers": "b"}, "'question' needs text and holds a list"),
        ({"question": "a?"}, "there is no answer; fill it in or drop the row"),
        ({"question": "a?", "answers": " | "}, "there is no answer"),
        (
            {"question": "a?", "answers": "b", "split": None},
            "split '' was given; allowed are train",
        ),
        ({"question": "a?", "answers": "b", "subject": {"x": 1}}, "'subject' needs text .* a dict"),
    ],
)
def test_records_that_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_fields(given, WHERE)


def test_splits_of_other_tools() -> None:
    names = ["TRAIN", "training", "valid", "val", "dev", "eval", "test"]
    assert [split_of(name, WHERE) for name in names] == [
        *("train", "train", "dev", "dev", "dev", "test", "test")
    ]
    with pytest.raises(BadInput, match=r"split 'tset' was given; .* did you mean 'test'"):
        split_of("tset", WHERE)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("", None), (0, 0), ("7.00", 7), (7.0, 7), ("9" * 18, 10**18 - 1)],
)
def test_a_popularity_is_whole(value: Any, expected: int | None) -> None:
    assert count(value, WHERE) == expected


@pytest.mark.parametrize("value", ["many", "-1", "1.5", "1e3", "9" * 19, "1,000", "٣", 1e19])
def test_a_popularity_that_is_not(value: Any) -> None:
    with pytest.raises(BadInput, match=r"popularity '.*' was given; a whole number of at most 18"):
        count(value, WHERE)


def test_numbers_are_taken_as_written_and_truth_values_are_not() -> None:
    assert word(12, "subject", WHERE) == "12"
    with pytest.raises(BadInput, match="'subject' needs text and holds a bool"):
        word(True, "subject", WHERE)
