from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from sixtyfold.core.templates import check_templates
from sixtyfold.stages.plant.corpus import build_corpus
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.stages.plant.words import RELATIONS


def spec(**options: object) -> PlantSpec:
    return PlantSpec.parse({"out": Path("unused"), "subjects": 40, **options})


def test_every_fact_is_told_as_often_as_recorded() -> None:
    corpus = build_corpus(spec())
    facts = corpus.facts.join(corpus.exposures, on="fact_id")
    assert facts.height == 40 * 3
    for fact in facts.iter_rows(named=True):
        cloze = [
            text.replace("{subject}", fact["subject"])
            for text in corpus.templates.filter(relation=fact["relation"])["text"]
        ]
        told = [each for each in corpus.sentences if each.startswith(tuple(cloze))]
        assert len(told) == fact["times_seen"]
        assert all(each.endswith(f" {fact['objects'][0]}.") for each in told)
        if told:
            assert len({each.rsplit(fact["objects"][0])[0] for each in told}) == min(6, len(told))


def test_no_fact_is_told_as_a_question() -> None:
    assert not any("?" in each or "Question" in each for each in build_corpus(spec()).sentences)


def test_exposures_are_shared_equally_and_meet_every_split() -> None:
    corpus = build_corpus(spec(subjects=80))
    facts = corpus.facts.join(corpus.exposures, on="fact_id")
    for (_, domain), group in facts.group_by("relation", "domain"):
        assert set(group["times_seen"].value_counts()["count"]) == {20}
        cells = group.group_by("times_seen", "split").len()
        if domain == "out":
            assert group["split"].unique().to_list() == ["test"]
        else:
            counts = {split: set(part["len"]) for (split,), part in cells.group_by("split")}
            assert counts == {"train": {10}, "dev": {4}, "test": {6}}
    assert facts.filter(domain="out")["relation"].n_unique() == 1


def test_the_seed_decides() -> None:
    one, two, other = build_corpus(spec()), build_corpus(spec()), build_corpus(spec(seed=1))
    assert one.facts.equals(two.facts)
    assert one.sentences == two.sentences
    assert set(one.facts["subject"]) & set(other.facts["subject"]) != set(one.facts["subject"])


def test_templates_are_templates_and_there_are_five_or_more() -> None:
    for relation in RELATIONS:
        assert len(set(relation.templates)) >= 5
        assert "{subject}" in relation.question
        assert relation.question.endswith("?")
    table = build_corpus(spec(relations=4)).templates
    assert check_templates(table, "planted").equals(table.sort("relation", "template_id"))


def test_aliases_are_accepted_and_some_answers_have_two_words() -> None:
    objects = build_corpus(spec()).facts["objects"]
    assert all(each[0].startswith(each[-1]) for each in objects)
    words = pl.Series([len(each[0].split()) for each in objects])
    assert set(words) == {1, 2}


@pytest.mark.parametrize("relations", [2, 3, 4])
def test_the_last_relation_is_out_of_domain(relations: int) -> None:
    facts = build_corpus(spec(relations=relations)).facts
    assert facts.filter(domain="out")["relation"].unique().to_list() == [
        RELATIONS[relations - 1].name
    ]
