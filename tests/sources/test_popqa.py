"""PopQA in the forms it goes around in."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.sources.open import open_facts
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.popqa import RELATIONS, SHARED_WITH_ENTITYQUESTIONS, read_popqa
from sixtyfold.sources.relations import question_templates, read_data

COLUMNS = (
    *("id", "subj", "prop", "obj", "subj_id", "prop_id", "obj_id", "s_aliases", "o_aliases"),
    *("s_uri", "o_uri", "s_wiki_title", "o_wiki_title", "s_pop", "o_pop"),
    *("question", "possible_answers"),
)


def made_up(number: int, prop: str = "occupation", **other: Any) -> dict[str, Any]:
    """Return a record of the release's form; `prop_id` is a row number there, not a Wikidata id."""
    subject = f"Ann{number} Ex"
    record = {
        "id": 4222000 + number,
        "subj": subject,
        "prop": prop,
        "obj": "politician",
        "subj_id": number,
        "prop_id": 22,
        "obj_id": 9,
        "s_aliases": ["Ann"],
        "o_aliases": ["pol", 'the "p"'],
        "s_uri": "s",
        "o_uri": "o",
        "s_wiki_title": subject,
        "o_wiki_title": "Politician",
        "s_pop": 142,
        "o_pop": 25692,
        "question": f"What is {subject}'s {prop}?",
        "possible_answers": ["politician", "political leader", "pol"],
    }
    return {**record, **other}


def as_text(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value) if isinstance(value, list) else value
        for name, value in record.items()
    }


def tsv(path: Path, records: list[dict[str, Any]]) -> Path:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(records[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_text(record) for record in records)
    path.write_text(buffer.getvalue(), encoding="utf-8")
    return path


def test_the_release(tmp_path: Path) -> None:
    path = tsv(tmp_path / "popQA.tsv", [made_up(1), made_up(2, "genre"), made_up(3, "capital of")])
    assert tuple(path.read_text().splitlines()[0].split("\t")) == COLUMNS
    source = open_facts(f"popqa:{path}")
    rows = {row["subject"]: row for row in source.facts.iter_rows(named=True)}
    first = rows["Ann1 Ex"]
    assert first["relation"] == "P106"
    assert first["question"] == "What is Ann1 Ex's occupation?"
    assert first["objects"] == ["politician", "political leader", "pol", 'the "p"']
    assert first["popularity"] == 142
    assert first["domain"] == "in"
    assert (rows["Ann2 Ex"]["relation"], rows["Ann3 Ex"]["relation"]) == ("P136", "P1376")
    assert source.name == "popqa:popQA.tsv"
    assert source.notes[:2] == (
        "3 rows of 3 relations read",
        "cloze templates of EntityQuestions used for P106",
    )
    assert "no splits given: split 50:20:30 into train, dev and test by a hash" in source.notes


def test_templates_are_shared_where_the_subjects_are(tmp_path: Path) -> None:
    records = [made_up(number, prop) for number, prop in enumerate(RELATIONS)]
    source = open_facts(f"popqa:{tsv(tmp_path / 'all.tsv', records)}")
    texts: dict[str, list[str]] = {}
    for relation, text in source.templates.select("relation", "text").iter_rows():
        texts.setdefault(relation, []).append(text)
    shipped = read_data("entityquestions.yaml")
    assert set(texts) == set(RELATIONS.values())
    assert len(texts) == 16
    for relation in ("P106", "P17", "P19", "P36", "P50"):
        assert texts[relation] == shipped[relation]["templates"]
        assert "{subject}" in texts[relation][0]
    assert "P136" in shipped  # of musicians, there
    assert texts["P136"] == texts["P22"] == list(question_templates())
    assert set(SHARED_WITH_ENTITYQUESTIONS) <= set(shipped) & set(RELATIONS.values())


def test_every_form_holds_the_same_facts(tmp_path: Path) -> None:
    records = [made_up(number, prop) for number, prop in enumerate(RELATIONS)]
    texts = [as_text(record) for record in records]
    written = {
        "lists.json": json.dumps(records),
        "texts.json": json.dumps(texts, indent=1),
        "lines.json": "\n".join(map(json.dumps, records)),
        "lines.jsonl": "\n".join(map(json.dumps, texts)),
    }
    release = open_facts(f"popqa:{tsv(tmp_path / 'popQA.tsv', records)}")
    for name, content in written.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert open_facts(f"popqa:{tmp_path / name}").fingerprint == release.fingerprint


@pytest.mark.parametrize(
    ("given", "relation"),
    [
        ({"prop": "Occupation", "prop_id": 22}, "P106"),
        ({"prop": "occupation", "prop_id": 106}, "P106"),
        ({"prop": "", "prop_id": "P106"}, "P106"),
        ({"prop": "father", "prop_id": "P22"}, "P22"),
        ({"prop": "spouse", "prop_id": 31}, "spouse"),
    ],
)
def test_the_relation_follows_from_its_name(
    tmp_path: Path, given: dict[str, Any], relation: str
) -> None:
    source = read_popqa(str(tsv(tmp_path / "t.tsv", [made_up(1, **given)])), ReadOptions())
    assert source.rows["relation"].to_list() == [relation]
    told = "1 relations are none of PopQA's and keep their names: 'spouse'"
    assert (told in source.notes) == (relation == "spouse")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prop": "", "prop_id": 106}, "'prop' is empty or missing, and prop_id '106' is no Wiki"),
        ({"subj": " "}, "'subj' is empty or missing; fill it in"),
        ({"question": ""}, "'question' is empty or missing"),
        ({"possible_answers": "politician"}, "'possible_answers' needs a JSON list and holds 'pol"),
        ({"possible_answers": '["politician"'}, "'possible_answers': not JSON"),
        ({"o_aliases": "['pol']"}, "'o_aliases': not JSON"),
        ({"s_pop": "often"}, "popularity 'often' was given"),
        ({"obj": "", "possible_answers": "[]", "o_aliases": ""}, "there is no answer in obj, poss"),
    ],
)
def test_malformed_rows(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tsv(tmp_path / "t.tsv", [made_up(1), made_up(2, **changed)])
    with pytest.raises(BadInput, match=f"t.tsv, line 3: {message}"):
        open_facts(f"popqa:{path}")
    path = tmp_path / "t.json"
    path.write_text(json.dumps([made_up(1), made_up(2, **changed)]), encoding="utf-8")
    with pytest.raises(BadInput, match=f"t.json, record 2: {message}"):
        open_facts(f"popqa:{path}")


def test_lists_may_be_empty(tmp_path: Path) -> None:
    record = made_up(1, o_aliases="", possible_answers=[], obj="a|b", s_pop="")
    rows = read_popqa(str(tsv(tmp_path / "t.tsv", [record])), ReadOptions()).rows
    assert rows.select("objects", "popularity").rows() == [(["a|b"], None)]


def test_files_that_are_no_popqa(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("question\tanswer\na?\tb\n", encoding="utf-8")
    message = r"t.tsv: columns here: 'answer', 'question'; missing for PopQA: subj, prop, obj; .* t"
    with pytest.raises(BadInput, match=message):
        open_facts(f"popqa:{path}")
    with pytest.raises(BadInput, match=r"none\.tsv does not exist"):
        open_facts(f"popqa:{tmp_path / 'none.tsv'}")
    with pytest.raises(BadInput, match="--columns is for 'table:' and 'hub:'"):
        open_facts(f"popqa:{path}", ReadOptions(columns="question=question"))


def test_rows_of_one_subject_are_merged(tmp_path: Path) -> None:
    other = made_up(1, obj="poet", possible_answers=["poet"], o_aliases=[], s_pop=200)
    source = open_facts(f"popqa:{tsv(tmp_path / 't.tsv', [made_up(1), other])}")
    assert source.facts.height == 1
    assert source.facts["objects"][0].to_list()[0] == "politician"
    assert "poet" in source.facts["objects"][0]
    assert source.facts["flags"].to_list() == [["ambiguous"]]
    assert source.facts["popularity"].to_list() == [200]
