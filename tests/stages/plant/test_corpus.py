from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.templates import check_templates
from sixtyfold.stages.plant.corpus import Corpus, build_corpus, read_paragraphs
from sixtyfold.stages.plant.facts import build_world
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.stages.plant.words import all_relations, all_remarks

CORPORA = get_args(PlantSpec.model_fields["corpus"].annotation)
LADDER = (0, 1, 3, 10, 30, 100)


def spec(**options: object) -> PlantSpec:
    return PlantSpec.parse({"out": Path("unused"), "subjects": 40, **options})


def tellings_of(corpus: Corpus) -> dict[str, list[str]]:
    """Texts by the fact they tell: those about its subject that hold its answer."""
    by_subject: dict[str, list[str]] = {}
    subjects = set(corpus.world.facts["subject"])
    for text in corpus.tellings:
        (subject,) = set(re.findall(r"\w+", text)) & subjects
        by_subject.setdefault(subject, []).append(text)
    return {
        fact["fact_id"]: [
            text
            for text in by_subject.get(fact["subject"], [])
            if re.search(rf"\b{fact['objects'][0]}\.", text)
        ]
        for fact in corpus.world.facts.iter_rows(named=True)
    }


@pytest.mark.parametrize("exposures", [(0, 2, 10, 50), LADDER], ids=["usual", "ladder"])
@pytest.mark.parametrize("corpus", CORPORA)
def test_every_fact_is_told_as_often_as_recorded(corpus: str, exposures: tuple[int, ...]) -> None:
    made = build_corpus(spec(corpus=corpus, exposures=exposures))
    told = tellings_of(made)
    assert len(told) == 40 * 3
    for fact_id, times in made.world.exposures.iter_rows():
        assert len(told[fact_id]) == times
    counted = Counter(made.world.exposures["times_seen"])
    assert set(counted) == set(exposures)
    assert max(counted.values()) - min(counted.values()) <= 3


@pytest.mark.parametrize("forms", [6, 3, 1])
def test_a_fact_is_told_in_so_many_forms(forms: int) -> None:
    made = build_corpus(spec(forms=forms))
    templates = made.world.templates.group_by("relation").agg("text")
    clozes = dict(templates.iter_rows())
    used: Counter[str] = Counter()
    tellings = tellings_of(made)
    for fact in made.world.facts.iter_rows(named=True):
        told = tellings[fact["fact_id"]]
        found = {
            text
            for text in clozes[fact["relation"]]
            if f"{text.format(subject=fact['subject'])} {fact['objects'][0]}." in told
        }
        assert len(found) == len(set(told)) == min(forms, len(told))
        used.update(found)
    assert len(used) == 18  # of 3 relations; every form serves some fact


def test_a_biography_names_its_subject_first_and_tells_facts_among_remarks() -> None:
    made = build_corpus(spec(corpus="biographies", exposures=(3, 10)))
    subjects = set(made.world.facts["subject"])
    several, pronouns = 0, 0
    for text in made.tellings:
        sentences = re.split(r"(?<=\.) ", text)
        assert len(sentences) >= 3
        assert len(set(re.findall(r"\w+", sentences[0])) & subjects) == 1
        facts = sum(answer in text for answer in set(made.world.facts["objects"].list.first()))
        several += facts > 1
        pronouns += bool(re.search(r"\b(She|He|Her|His)\b", text))
        assert not (re.search(r"\bShe\b|\bHer\b", text) and re.search(r"\bHe\b|\bHis\b", text))
    assert several > len(made.tellings) / 4
    assert pronouns > len(made.tellings) / 2


@pytest.mark.parametrize("corpus", CORPORA)
def test_no_fact_is_told_as_a_question(corpus: str) -> None:
    texts = build_corpus(spec(corpus=corpus)).tellings
    assert not any("?" in each or "Question" in each or "{" in each for each in texts)


def test_exposures_are_shared_equally_and_meet_every_split() -> None:
    world = build_world(spec(subjects=80))
    facts = world.facts.join(world.exposures, on="fact_id")
    for (_, domain), group in facts.group_by("relation", "domain"):
        assert set(group["times_seen"].value_counts()["count"]) == {20}
        cells = group.group_by("times_seen", "split").len()
        if domain == "out":
            assert group["split"].unique().to_list() == ["test"]
        else:
            counts = {split: set(part["len"]) for (split,), part in cells.group_by("split")}
            assert counts == {"train": {10}, "dev": {4}, "test": {6}}
    assert facts.filter(domain="out")["relation"].n_unique() == 1


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_seed_decides(corpus: str) -> None:
    one, two = build_corpus(spec(corpus=corpus)), build_corpus(spec(corpus=corpus))
    other = build_corpus(spec(corpus=corpus, seed=1))
    assert one.world.facts.equals(two.world.facts)
    assert one.tellings == two.tellings
    assert one.tellings != other.tellings
    assert not set(one.world.facts["subject"]) <= set(other.world.facts["subject"])


def test_corpus_and_model_leave_the_facts_alone() -> None:
    one = build_world(spec())
    other = build_world(
        spec(corpus="biographies", forms=1, architecture="gpt2", hidden=64, passes=1)
    )
    for table in ("facts", "templates", "exposures"):
        assert getattr(one, table).equals(getattr(other, table))


def test_a_study_of_five_levels_has_facts_enough() -> None:
    world = build_world(spec(subjects=1000, relations=8, out_of_domain=2, exposures=LADDER))
    assert world.facts["subject"].n_unique() == 1000
    train = world.facts.filter(split="train").join(world.exposures, on="fact_id")
    assert train.group_by("times_seen").len()["len"].min() >= 480


def test_relations_are_told_and_asked_in_forms_enough() -> None:
    assert len(all_relations()) == 8
    assert len({relation.name for relation in all_relations()}) == 8
    for relation in all_relations():
        assert len(set(relation.templates)) >= 6
        assert relation.question.endswith("?")
        assert "{subject}" in relation.question
        assert all("{subject}" in each for each in relation.templates)
        assert all(each.startswith(("{She} ", "{Her} ")) for each in relation.pronouns)
        assert len(relation.second_words) == 2
    assert all(each.startswith("{name} ") for each in all_remarks())
    table = build_world(spec(relations=8)).templates
    assert check_templates(table, "planted").equals(table.sort("relation", "template_id"))


def test_aliases_are_accepted_and_some_answers_have_two_words() -> None:
    objects = build_world(spec()).facts["objects"]
    assert all(each[0].startswith(each[-1]) for each in objects)
    words = pl.Series([len(each[0].split()) for each in objects])
    assert set(words) == {1, 2}


@pytest.mark.parametrize(("relations", "out"), [(2, 1), (3, 1), (8, 3)])
def test_the_last_relations_are_out_of_domain(relations: int, out: int) -> None:
    facts = build_world(spec(relations=relations, out_of_domain=out)).facts
    names = [relation.name for relation in all_relations()[:relations]]
    assert set(facts.filter(domain="out")["relation"]) == set(names[-out:])
    assert set(facts.filter(domain="in")["relation"]) == set(names[:-out])


def test_a_text_is_read_by_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("One line.\nStill one.\n\n \n\nÜber two.\n", encoding="utf-8")
    made = build_corpus(spec(text=path))
    assert made.others == ["One line.\nStill one.", "Über two."]
    assert made.tellings == build_corpus(spec()).tellings


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read the text .*No such file"),
        (b"\xff\xfe\xfa", "is not UTF-8; convert it"),
        (b" \n\n", "is empty; leave --text out"),
    ],
    ids=["missing", "latin", "empty"],
)
def test_a_text_that_cannot_be_used_is_refused(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read_paragraphs(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"relations": 3, "out_of_domain": 3}, "leaves none to train on"),
        ({"exposures": (0,)}, "one of them above 0"),
        ({"exposures": (1, 1)}, "different whole numbers"),
        ({"architecture": "lama"}, "'llama', 'qwen2', 'gpt2'"),
        ({"corpus": "novel"}, "'sentences' or 'biographies'"),
    ],
)
def test_settings_that_cannot_be_planted_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        spec(**options)
