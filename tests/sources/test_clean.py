"""What the options do to any fact set, and what they tell."""

from typing import Any

import polars as pl
import pytest

from made_up_facts import fact
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import FACTS_SCHEMA
from sixtyfold.sources.clean import YE2025_IN_DOMAIN, clean
from sixtyfold.sources.options import ReadOptions

FACTS = pl.DataFrame(
    [
        fact("Peru", ["Lima"], "train"),
        fact("Lima", ["Peru"], "test", relation="country"),
        fact("PERU", ["South America"], "train", relation="continent"),
        fact("Perú", ["Amazon"], "dev", relation="river"),
        fact("Chad", ["N'Djamena"], "train", flags=["ambiguous", "odd"]),
        fact("Fiji", ["Suva"], "train", flags=["odd"]),
        fact("Suva", ["Fiji"], "train", relation="country"),
    ],
    schema=FACTS_SCHEMA,
).sort("fact_id")


def cleaned(**options: Any) -> tuple[list[str], list[str]]:
    """Return "relation subject" of the facts left, and the notes."""
    facts, notes = clean(FACTS, ReadOptions(**options))
    assert facts.schema == FACTS_SCHEMA
    assert facts["fact_id"].is_sorted()
    return sorted(facts["relation"] + " " + facts["subject"]), notes


def test_the_defaults_change_nothing_and_say_nothing() -> None:
    facts, notes = clean(FACTS, ReadOptions())
    assert facts.equals(FACTS)
    assert notes == []


def test_ambiguous_facts_are_dropped_and_counted() -> None:
    left, notes = cleaned(ambiguous="drop")
    assert len(left) == FACTS.height - 1
    assert "capital Chad" not in left
    assert notes == ["1 ambiguous facts dropped"]


@pytest.mark.parametrize(
    ("disjoint", "gone", "note"),
    [
        (
            "subjects",
            {"capital Peru", "continent PERU"},
            "2 training facts dropped that share a subject with dev or test",
        ),
        (
            "entities",
            {"capital Peru", "continent PERU"},
            "2 training facts dropped that share an entity with dev or test",
        ),
    ],
)
def test_training_facts_that_share_entities_are_dropped(
    disjoint: str, gone: set[str], note: str
) -> None:
    left, notes = cleaned(disjoint=disjoint)
    assert set(FACTS["relation"] + " " + FACTS["subject"]) - set(left) == gone
    assert notes[0] == note
    assert all(line.startswith("in train: 'What is the ") for line in notes[1:])
    assert len(notes) >= 3


def test_an_entity_in_an_answer_counts_for_entities_alone() -> None:
    training = fact("Cusco", ["Peru"], "train", relation="country")
    facts = pl.concat([FACTS, pl.DataFrame([training], schema=FACTS_SCHEMA)]).sort("fact_id")
    for disjoint, kept in (("subjects", True), ("entities", False)):
        left, _ = clean(facts, ReadOptions(disjoint=disjoint))
        assert ("Cusco" in left["subject"].to_list()) is kept


def test_nothing_held_out_is_ever_dropped_for_sharing() -> None:
    facts, _ = clean(FACTS, ReadOptions(disjoint="entities"))
    held = FACTS.filter(pl.col("split") != "train")
    assert facts.filter(pl.col("split") != "train").equals(held)


def test_a_question_of_a_held_out_fact_goes_as_well() -> None:
    rows = [
        fact("Kew", ["London"], "train", relation="P131", question="Where is Kew?"),
        fact("Kew Gardens", ["Surrey"], "test", relation="P276", question="where is  KEW?"),
        fact("Ely", ["England"], "train", relation="P131"),
    ]
    facts, _ = clean(pl.DataFrame(rows, schema=FACTS_SCHEMA), ReadOptions(disjoint="subjects"))
    assert sorted(facts["subject"]) == ["Ely", "Kew Gardens"]


def test_domains_follow_the_list() -> None:
    facts, notes = clean(FACTS, ReadOptions(in_domain="capital, country"))
    assert dict(facts.group_by("relation").agg(pl.col("domain").unique().item()).iter_rows()) == {
        "capital": "in",
        "country": "in",
        "continent": "out",
        "river": "out",
    }
    assert notes == []


def test_the_domains_of_the_paper() -> None:
    names = ("P17", "P106", "P276", "P413")
    rows = [fact("x", ["y"], "test", relation=name) for name in names]
    facts, _ = clean(pl.DataFrame(rows, schema=FACTS_SCHEMA), ReadOptions(in_domain="ye2025"))
    assert dict(facts.select("relation", "domain").iter_rows()) == {
        "P17": "in",
        "P106": "out",
        "P276": "in",
        "P413": "out",
    }
    assert len(YE2025_IN_DOMAIN) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"in_domain": "capitol"},
            "names 'capitol', which is no relation here; did you mean 'capital'.*: capital, cont",
        ),
        ({"in_domain": "capital,"}, "--in-domain names '', which is no relation here"),
        ({"in_domain": ""}, "--in-domain names '', which is no relation here"),
        (
            {"in_domain": "ye2025"},
            "--in-domain ye2025 names relations of EntityQuestions .*relations here: capital, ",
        ),
    ],
)
def test_relations_that_are_not_here(options: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        cleaned(**options)


def test_nothing_left_is_refused() -> None:
    only = FACTS.filter(pl.col("subject") == "Chad")
    with pytest.raises(BadInput, match="no fact is left after --ambiguous and --disjoint; ask for"):
        clean(only, ReadOptions(ambiguous="drop"))


def test_ambiguous_facts_go_before_entities_are_compared() -> None:
    rows = [
        fact("Troy", ["Turkey", "New York"], "test", flags=["ambiguous"]),
        fact("Troy", ["Anatolia"], "train", relation="region"),
    ]
    facts = pl.DataFrame(rows, schema=FACTS_SCHEMA)
    left, notes = clean(facts, ReadOptions(ambiguous="drop", disjoint="subjects"))
    assert left["relation"].to_list() == ["region"]
    assert notes == [
        "1 ambiguous facts dropped",
        "0 training facts dropped that share a subject with dev or test",
    ]
