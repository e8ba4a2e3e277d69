"""The real EntityQuestions, where they lie: every figure equals a plain count over the raw files.

The counts here use json, dictionaries and regular expressions alone, and none of the package's
functions. Set SIXTYFOLD_ENTITYQUESTIONS to the folder that holds train, dev and test.
"""

import functools
import json
import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from sixtyfold.sources.inspect import inspect
from sixtyfold.sources.open import FactSet, open_facts
from sixtyfold.sources.options import ReadOptions

ROOT = Path(__file__).parents[2]
IN_DOMAIN = ["P17", "P19", "P20", "P36", "P69", "P131", "P159", "P276", "P495", "P740"]
OUT_OF_DOMAIN = ["P26", "P40", "P50", "P106", "P112", "P127", "P136"]
OUT_OF_DOMAIN += ["P170", "P175", "P176", "P264", "P407", "P413", "P800"]
RELATIONS = IN_DOMAIN + OUT_OF_DOMAIN
QUESTIONS = 220_703
COUNTRIES = {"P17", "P495"}
#: Genres, labels and positions: what is added there are usual short names.
WITHOUT_COUNTRIES = {"P136", "P264", "P413"}
SHORT_NAMES = ROOT / "src" / "sixtyfold" / "sources" / "data" / "short_names.yaml"


class RawRow(NamedTuple):
    """A question as it stands in a file, with the subject cut out."""

    relation: str
    split: str
    subject: str
    question: str
    answers: list[str]


@pytest.fixture(scope="module")
def data() -> Path:
    path = Path(
        os.environ.get("SIXTYFOLD_ENTITYQUESTIONS")
        or ROOT.parent / "shared" / "data" / "entityquestions"
    )
    if not (path / "train").is_dir():
        pytest.skip(f"EntityQuestions is not at {path}")
    return path


@pytest.fixture(scope="module")
def patterns(data: Path) -> dict[str, str]:
    content = (data / "relation_query_templates.json").read_text(encoding="utf-8")
    return dict(json.loads(content))


@pytest.fixture(scope="module")
def raw(data: Path, patterns: dict[str, str]) -> list[RawRow]:
    """Every row of every file; test before dev before train, else in file order."""
    rows = []
    for split in ("test", "dev", "train"):
        for path in (data / split).iterdir():
            relation = path.name.partition(".")[0]
            before, after = map(re.escape, patterns[relation].split("[X]"))
            question = re.compile(f"{before}(.+){after}", re.DOTALL)
            for row in json.loads(path.read_text(encoding="utf-8")):
                fits = question.fullmatch(row["question"])
                assert fits, (path, row)
                answers = [answer.strip() for answer in row["answers"]]
                rows.append(RawRow(relation, split, fits[1], row["question"], answers))
    return rows


@functools.cache
def same(name: str) -> str:
    """Return what two spellings of one name have in common."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


@functools.cache
def words(name: str) -> str:
    """Return the words of a name, unaccented, St. written out, a space around each."""
    for letter, latin in ("łl", "Łl", "đd", "Đd", "øo", "Øo"):
        name = name.replace(letter, latin)
    letters = unicodedata.normalize("NFKD", re.sub("['’]", "", name))
    bare = "".join(each for each in letters if not unicodedata.combining(each)).casefold()
    spaced = re.sub(r"\W+", " ", unicodedata.normalize("NFC", bare))
    return re.sub(r"(?<= )st(e?)(?= )", r"saint\1", f" {spaced.strip()} ")


def contradicting(keys: list[str], answers: list[set[str]]) -> set[str]:
    """Return the keys whose answers fall apart into groups that share none."""
    groups: dict[str, list[set[str]]] = {}
    for key, found in zip(keys, answers, strict=True):
        apart = [group for group in groups.get(key, []) if not group & found]
        near = [group for group in groups.get(key, []) if group & found]
        groups[key] = [*apart, found.union(*near)]
    return {key for key, parts in groups.items() if len(parts) > 1}


@pytest.fixture(scope="module")
def counted(raw: list[RawRow]) -> dict[str, dict[str, Any]]:
    """The figures of every relation, counted plainly."""
    facts: dict[str, dict[str, list[RawRow]]] = {}
    for row in raw:
        facts.setdefault(row.relation, {}).setdefault(same(row.subject), []).append(row)
    splits_of: dict[str, set[str]] = {}
    for by_subject in facts.values():
        for first, *_ in by_subject.values():
            splits_of.setdefault(same(first.question), set()).add(first.split)
    figures = {}
    for relation, by_subject in facts.items():
        merged = list(by_subject.values())
        of_relation = [row for rows in merged for row in rows]
        firsts = Counter(rows[0].answers[0] for rows in merged)
        top, times = min(firsts.items(), key=lambda item: (-item[1], item[0]))
        copied = 0
        for rows in merged:
            whole = words(rows[0].subject)
            copied += any(words(answer) in whole for row in rows for answer in row.answers)
        splits = Counter(rows[0].split for rows in merged)
        figures[relation] = {
            "relation": relation,
            "domain": "in" if relation in IN_DOMAIN else "out",
            "facts": len(merged),
            **{split: splits[split] for split in ("train", "dev", "test")},
            "subjects": len({same(row.subject) for row in of_relation}),
            "answers": len({same(name) for name in firsts}),
            "top_answer": top,
            "top_share": times / len(merged),
            "in_subject_share": copied / len(merged),
            "several_answers": len(
                contradicting(
                    [same(row.subject) for row in of_relation],
                    [set(map(same, row.answers)) for row in of_relation],
                )
            ),
            "in_several_splits": sum(len({row.split for row in rows}) > 1 for rows in merged),
            "shared_questions": sum(len(splits_of[same(rows[0].question)]) > 1 for rows in merged),
        }
    return figures


@pytest.fixture(scope="module")
def source(data: Path) -> FactSet:
    """The facts as they stand in the files, without aliases."""
    return open_facts(f"entityquestions:{data}", ReadOptions(aliases="none"))


@pytest.fixture(scope="module")
def figures(source: FactSet) -> dict[str, dict[str, Any]]:
    return {row["relation"]: row for row in inspect(source.facts).iter_rows(named=True)}


def test_all_24_relations_are_there(
    figures: dict[str, Any], counted: dict[str, Any], raw: list[RawRow]
) -> None:
    assert set(figures) == set(counted) == set(RELATIONS)
    assert len(raw) == QUESTIONS


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_figures_are_the_plain_counts(
    relation: str, figures: dict[str, Any], counted: dict[str, Any]
) -> None:
    assert figures[relation] == counted[relation]


def test_every_question_goes_round(
    source: FactSet, raw: list[RawRow], patterns: dict[str, str]
) -> None:
    for row in raw:
        assert patterns[row.relation].replace("[X]", row.subject) == row.question
    columns = ("relation", "subject", "question")
    for relation, subject, question in source.facts.select(columns).iter_rows():
        assert patterns[relation].replace("[X]", subject) == question


def test_no_row_is_lost(source: FactSet, raw: list[RawRow]) -> None:
    facts = {
        (relation, same(subject)): (set(objects), split)
        for relation, subject, objects, split in source.facts.select(
            "relation", "subject", "objects", "split"
        ).iter_rows()
    }
    assert len(facts) == source.facts.height
    order = {"test": 0, "dev": 1, "train": 2}
    for row in raw:
        objects, split = facts[row.relation, same(row.subject)]
        assert set(row.answers) <= objects
        assert order[split] <= order[row.split]
    merged = QUESTIONS - len(facts)
    assert f"{merged:,} rows merged into facts seen before" in source.notes


def test_contradicting_subjects_as_the_papers_count_them(raw: list[RawRow]) -> None:
    # Subjects written exactly alike; the package also takes "Butterfly" and "ButterFly" for one.
    for relation, expected in (("P36", 240), ("P175", 262)):
        rows = [row for row in raw if row.relation == relation]
        found = contradicting([row.subject for row in rows], [set(row.answers) for row in rows])
        assert len(found) == expected


def test_questions_shared_by_two_relations_are_those_of_p131_and_p276(
    figures: dict[str, Any],
) -> None:
    shared = {name: row["shared_questions"] for name, row in figures.items()}
    assert {name for name, number in shared.items() if number} == {"P131", "P276"}
    assert shared["P131"] == shared["P276"]


def test_usual_names_change_answers_and_nothing_else(data: Path, source: FactSet) -> None:
    named = open_facts(f"entityquestions:{data}")
    same_columns = ["fact_id", "relation", "subject", "question", "split", "domain", "popularity"]
    assert named.facts.select(same_columns).equals(source.facts.select(same_columns))
    assert named.templates.equals(source.templates)
    columns = zip(
        source.facts["relation"], source.facts["objects"], named.facts["objects"], strict=True
    )
    short = {same(name) for name in yaml.safe_load(SHORT_NAMES.read_text(encoding="utf-8"))}
    longer: Counter[str] = Counter()
    for relation, given, found in columns:
        assert found[0] == given[0]
        assert set(given) <= set(found)
        longer[relation] += len(found) > len(given)
        if relation in WITHOUT_COUNTRIES:
            assert (len(found) > len(given)) == any(same(answer) in short for answer in given)
    facts = Counter(source.facts["relation"])
    assert all(longer[relation] > 0.3 * facts[relation] for relation in COUNTRIES)
    assert all(longer[relation] > 0.1 * facts[relation] for relation in WITHOUT_COUNTRIES)
