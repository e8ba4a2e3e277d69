"""Facts from a user's table: what is read, what is merged, what is refused."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.facts import FACTS_SCHEMA, TEMPLATES_SCHEMA
from sixtyfold.core.templates import QUESTION_TEMPLATES
from sixtyfold.sources.table import read_facts_table


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def by_question(frame: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {row["question"]: row for row in frame.iter_rows(named=True)}


def test_the_least_a_table_needs(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Query,Target\nWho wrote Emma?,Jane Austen\nTwo plus two?,4\n")
    facts, templates, notes = read_facts_table(path)
    assert facts.schema == FACTS_SCHEMA
    assert by_question(facts)["Who wrote Emma?"]["objects"] == ["Jane Austen"]
    assert facts["relation"].unique().to_list() == ["question"]
    assert facts["domain"].unique().to_list() == ["in"]
    assert templates.schema == TEMPLATES_SCHEMA
    assert templates["text"].to_list() == list(QUESTION_TEMPLATES)
    assert notes[0] == "columns read: question from 'Query', answers from 'Target'"
    assert "no split column" in notes[1]


def test_the_same_facts_in_every_format(tmp_path: Path) -> None:
    rows = [
        {
            "question": f"What is the capital of {place}?",
            "answers": city,
            "aliases": other,
            "subject": place,
            "relation": "capital",
            "split": split,
            "popularity": popularity,
        }
        for place, city, other, split, popularity in [
            ("France", "Paris", "City of Light|Paname", "train", 67),
            ("Bolivia", "Sucre", "La Paz", "validation", 11),
            ("Norway", "Oslo", "", "test", 5),
        ]
    ]
    frame = pl.DataFrame(rows)
    frame.write_csv(tmp_path / "t.csv")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    frame.write_parquet(tmp_path / "t.parquet")
    lines = [json.dumps({**row, "aliases": str(row["aliases"]).split("|")}) for row in rows]
    write(tmp_path / "t.jsonl", "\n".join(lines))
    tables = [
        read_facts_table(tmp_path / f"t.{suffix}").facts
        for suffix in ("csv", "tsv", "parquet", "jsonl")
    ]
    assert all(table.equals(tables[0]) for table in tables[1:])
    france = by_question(tables[0])["What is the capital of France?"]
    assert france["objects"] == ["Paris", "City of Light", "Paname"]
    assert france["popularity"] == 67
    assert by_question(tables[0])["What is the capital of Bolivia?"]["split"] == "dev"


def test_answers_as_a_list_as_json_text_and_with_bars(tmp_path: Path) -> None:
    records = [
        {"question": "a?", "answers": ["x", "y"]},
        {"question": "b?", "answers": '["x", "y"]'},
        {"question": "c?", "answers": "x|y"},
        {"question": "d?", "answers": 7},
    ]
    path = write(tmp_path / "t.jsonl", "\n".join(json.dumps(record) for record in records))
    rows = by_question(read_facts_table(path).facts)
    assert [rows[f"{name}?"]["objects"] for name in "abcd"] == [["x", "y"]] * 3 + [["7"]]


def test_rows_of_one_fact_are_merged(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "question,answer,split\n"
        "Where is Troy?,Turkey,train\n"
        "where  is TROY?,New York,test\n"
        "Where is Rome?,Italy,dev\n"
        "Where is Rome?,Italy,train\n",
    )
    facts, _, notes = read_facts_table(path)
    rows = by_question(facts)
    troy, rome = rows["Where is Troy?"], rows["Where is Rome?"]
    assert (troy["objects"], troy["flags"], troy["split"]) == (
        ["Turkey", "New York"],
        ["ambiguous"],
        "test",
    )
    assert (rome["objects"], rome["flags"], rome["split"]) == (["Italy"], [], "dev")
    assert "2 rows merged into facts seen before" in notes


def test_a_hashed_split_depends_on_the_fact_alone(tmp_path: Path) -> None:
    lines = [f"q{number}?,a{number}" for number in range(300)]
    whole = write(tmp_path / "w.csv", "\n".join(["question,answer", *lines]))
    part = write(tmp_path / "p.csv", "\n".join(["question,answer", *reversed(lines[50:])]))
    splits = dict(read_facts_table(whole).facts.select("question", "split").iter_rows())
    for question, split in read_facts_table(part).facts.select("question", "split").iter_rows():
        assert splits[question] == split
    counts = {split: list(splits.values()).count(split) for split in ("train", "dev", "test")}
    assert 120 <= counts["train"] <= 180
    assert 35 <= counts["dev"] <= 85
    assert 60 <= counts["test"] <= 120


def test_an_answer_in_the_subject_is_flagged(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "question,answer,subject\nWhere?,Madrid,Bank of Madrid\n")
    assert read_facts_table(path).facts["flags"].to_list() == [["answer_in_subject"]]


def test_quotes_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", b'\xef\xbb\xbfquestion,answer\r\n"Who, then?","A ""B"" C"\r\n')
    assert read_facts_table(path).facts.select("question", "objects").rows() == [
        ("Who, then?", ['A "B" C'])
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "question,truth\na,b\n", r"columns here: 'question', 'truth'; needed .* answers"),
        ("t.csv", "x,y\na,b\n", "for the question and one for the answers"),
        ("t.csv", "question,answer\na?,b\nc?,d,e\n", r"line 3: 3 fields where the header has 2"),
        ("t.csv", "question,answer\na?,\n", r"line 2: there is no answer"),
        ("t.csv", "question,answer\n ,b\n", r"line 2: the question is empty"),
        ("t.csv", 'question,answer\na?,"b\n', r"line \d: "),
        ("t.csv", "question,question\na?,b\n", r"names 'question' twice"),
        ("t.csv", "question,answer\n", "holds no rows"),
        ("t.csv", "", "holds no rows"),
        ("t.csv", b"question,answer\na?,caf\xe9\n", r"line 2: not UTF-8 \(byte 0xe9\)"),
        ("t.csv", "question,answer\na?,b\0\n", "line 2: holds a NUL"),
        ("t.csv", "question,answer,split\na?,b,tset\n", r"split 'tset' .* did you mean 'test'"),
        ("t.csv", "question,answer,domain\na?,b,near\n", r"domain 'near' was given"),
        ("t.csv", "question,answer,popularity\na?,b,many\n", r"popularity 'many' was given"),
        ("t.jsonl", '{"question": "a?", "answer": "b"}\n[1]\n', r"line 2: a JSON object is needed"),
        ("t.jsonl", '{"question": "a?", "answer": "b"', r"line 1: not JSON"),
        ("t.jsonl", '{"question": ["a?"], "answer": "b"}', r"line 1: 'question' needs text"),
        ("t.jsonl", '{"question": "a?", "answer": []}', r"line 1: there is no answer"),
        ("t.jsonl", '{"question": "a?", "answer": {"b": 1}}', r"'answers' needs text .* dict"),
        ("t.jsonl", '{"question": "a?"}', "a column for the answers"),
        ("t.jsonl", '{"question": "\\ud800?", "answer": "b"}', "line 1: .* surrogate"),
        ("t.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("t.jsonl", '{"question": "' + "a" * 10_000_001 + '"}', "one record a line is needed"),
        ("t.txt", "question,answer\na?,b\n", r"ends in '.txt'; allowed are .csv, .tsv"),
    ],
)
def test_what_is_refused_and_where(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(BadInput, match=message) as refused:
        read_facts_table(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_a_folder_and_a_broken_parquet(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        read_facts_table(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadInput, match="is a directory"):
        read_facts_table(tmp_path / "folder.csv")
    with pytest.raises(Corrupted, match="not a readable Parquet"):
        read_facts_table(write(tmp_path / "t.parquet", b"PK\x03\x04 a zip, say"))


FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
fields = st.sampled_from(["question", "answer", "subject", "split", "popularity", "flags", "x"])


@FUZZ
@given(content=st.binary(max_size=300), suffix=st.sampled_from(["csv", "tsv", "jsonl", "parquet"]))
def test_any_bytes_are_facts_or_a_clear_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    refuses_cleanly(write(tmp_path / f"fuzz.{suffix}", content))


@FUZZ
@given(rows=st.lists(st.dictionaries(fields, json_values), min_size=1, max_size=4))
def test_any_json_records_are_facts_or_a_clear_line(
    tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    lines = "\n".join(json.dumps(row) for row in rows)
    refuses_cleanly(write(tmp_path / "fuzz.jsonl", lines))


@FUZZ
@given(
    header=st.lists(fields, min_size=1, max_size=4),
    rows=st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=4), max_size=4),
)
def test_any_csv_rows_are_facts_or_a_clear_line(
    tmp_path: Path, header: list[str], rows: list[list[str]]
) -> None:
    content = "\n".join(",".join(row) for row in [header, *rows])
    refuses_cleanly(write(tmp_path / "fuzz.csv", content.encode("utf-8", "replace")))


def refuses_cleanly(path: Path) -> None:
    complaint = ""
    try:
        facts = read_facts_table(path).facts
    except (BadInput, Corrupted) as refused:
        complaint = str(refused)
    if complaint:
        assert str(path) in complaint
        assert "\n" not in complaint
    else:
        assert facts.height >= 1
        assert facts["objects"].list.len().min() >= 1
