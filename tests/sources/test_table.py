"""Facts from a user's table: what is read, what is merged, what is refused."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.facts import FACTS_SCHEMA, TEMPLATES_SCHEMA
from sixtyfold.sources.open import FactSet, open_facts
from sixtyfold.sources.options import ReadOptions
from sixtyfold.sources.relations import question_templates
from sixtyfold.sources.table import read_table_rows


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def opened(path: Path, columns: str | None = None) -> FactSet:
    return open_facts(f"table:{path}", ReadOptions(columns=columns))


def by_question(frame: pl.DataFrame) -> dict[str, dict[str, object]]:
    return {row["question"]: row for row in frame.iter_rows(named=True)}


def test_the_least_a_table_needs(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Query,Target\nWho wrote Emma?,Jane Austen\nTwo plus two?,4\n")
    facts, templates, _, _, notes = opened(path)
    assert facts.schema == FACTS_SCHEMA
    assert by_question(facts)["Who wrote Emma?"]["objects"] == ["Jane Austen"]
    assert facts["relation"].unique().to_list() == ["question"]
    assert facts["domain"].unique().to_list() == ["in"]
    assert templates.schema == TEMPLATES_SCHEMA
    assert templates["text"].to_list() == list(question_templates())
    assert notes[:2] == (
        "columns read: question from 'Query' (guessed), answers from 'Target' (guessed)",
        "no splits given: split 50:20:30 into train, dev and test by a hash",
    )
    (asked,) = notes[2:]
    assert asked.startswith("no cloze templates for question: probed through 21 phrasings of the")


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
    records = [{**row, "aliases": str(row["aliases"]).split("|")} for row in rows]
    write(tmp_path / "t.jsonl", "\n".join(json.dumps(record) for record in records))
    write(tmp_path / "t.json", json.dumps(records, indent=1))
    tables = [
        opened(tmp_path / f"t.{suffix}").facts
        for suffix in ("csv", "tsv", "parquet", "jsonl", "json")
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
    rows = by_question(opened(path).facts)
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
    facts, _, _, _, notes = opened(path)
    rows = by_question(facts)
    troy, rome = rows["where is TROY?"], rows["Where is Rome?"]
    assert (troy["objects"], troy["flags"], troy["split"]) == (
        ["New York", "Turkey"],  # the held-out row comes first
        ["ambiguous", "in_several_splits"],
        "test",
    )
    assert (rome["objects"], rome["flags"], rome["split"]) == (
        ["Italy"],
        ["in_several_splits"],
        "dev",
    )
    assert "2 rows merged into facts seen before" in notes


def test_a_hashed_split_depends_on_the_fact_alone(tmp_path: Path) -> None:
    lines = [f"q{number}?,a{number}" for number in range(300)]
    whole = write(tmp_path / "w.csv", "\n".join(["question,answer", *lines]))
    part = write(tmp_path / "p.csv", "\n".join(["question,answer", *reversed(lines[50:])]))
    splits = dict(opened(whole).facts.select("question", "split").iter_rows())
    for question, split in opened(part).facts.select("question", "split").iter_rows():
        assert splits[question] == split
    counts = {split: list(splits.values()).count(split) for split in ("train", "dev", "test")}
    assert 120 <= counts["train"] <= 180
    assert 35 <= counts["dev"] <= 85
    assert 60 <= counts["test"] <= 120


def test_an_answer_in_the_subject_is_flagged(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "question,answer,subject\nWhere?,Madrid,Bank of Madrid\n")
    assert opened(path).facts["flags"].to_list() == [["answer_in_subject"]]


def test_quotes_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", b'\xef\xbb\xbfquestion,answer\r\n"Who, then?","A ""B"" C"\r\n')
    assert opened(path).facts.select("question", "objects").rows() == [("Who, then?", ['A "B" C'])]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "question,truth\na,b\n", r"columns here: 'question', 'truth'; needed .* answers"),
        ("t.csv", "x,y\na,b\n", "for the question and one for the answers"),
        ("t.csv", "question,answer\na?,b\nc?,d,e\n", r"line 3: 3 fields where the header has 2"),
        ("t.csv", "question,answer\na?,\n", r"line 2: there is no answer"),
        ("t.csv", "question,answer\n ,b\n", "line 2: the question is empty or missing; fill it in"),
        ("t.csv", 'question,answer\na?,"b\n', "line 2: a quote is opened and never closed"),
        ("t.csv", "question,question\na?,b\n", r"names 'question' twice"),
        ("t.csv", "question,answer\n", "holds no rows"),
        ("t.csv", "", "is empty"),
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
        (
            "t.jsonl",
            '{"question": "a?", "answer": "b"}\n{"answer": "b"}',
            "line 2: the question is",
        ),
        ("t.jsonl", '{"question": "a?", "answer": "b"}\n{"question": "c?"}', "line 2: there is no"),
        ("t.json", '[{"question": "a?", "answer": "b"}, {"question": "c?"}]', "record 2: there is"),
        ("t.json", '[{"question": "a?", "answer": [["b"], true]}]', "record 1: 'answers' .* bool"),
        ("t.csv", 'question,answer\na?,"[b"\n', "line 2: 'answers': not JSON .* one\\|two"),
        ("t.txt", "question,answer\na?,b\n", r"ends in '.txt'; give a file ending in .csv, .tsv"),
    ],
)
def test_what_is_refused_and_where(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(BadInput, match=message) as refused:
        opened(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_named_columns_come_before_the_guess(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "question,ask,truth,topic\nno,a?,b,x\n")
    facts, _, _, _, notes = opened(path, "question=ask, answers=truth")
    assert facts.select("question", "objects", "relation").rows() == [("a?", ["b"], "x")]
    assert notes[0] == (
        "columns read: question from 'ask', answers from 'truth', relation from 'topic' (guessed)"
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("qestion=ask", "--columns holds 'qestion=ask'; .* did you mean 'question'"),
        ("ask", "--columns holds 'ask'; allowed is FIELD=COLUMN with a field of question, answers"),
        ("question=ask,", "--columns holds ''; allowed is FIELD=COLUMN"),
        ("question=aks", r"t.csv: --columns names 'aks', .* 'ask', 'truth'; did you mean 'ask'"),
        ("question=", "--columns names '', which is no column here"),
        ("question=ask,question=truth", "--columns names the field 'question' twice"),
        ("question=ask,answers=ask", "--columns gives 'ask' to 'question' and to 'answers'"),
        ("question=ask", "columns here: 'ask', 'truth'; needed and not found: .* the answers"),
    ],
)
def test_columns_that_cannot_be(tmp_path: Path, columns: str, message: str) -> None:
    path = write(tmp_path / "t.csv", "ask,truth\na?,b\n")
    with pytest.raises(BadInput, match=message):
        opened(path, columns)


@pytest.mark.parametrize("column", ["id", "fact_id", " ID "])
def test_an_id_that_stands_at_two_questions_is_refused(tmp_path: Path, column: str) -> None:
    rows = f"{column},question,answer\n7,a?,b\n8,c?,d\n 7,e?,f\n"
    message = (
        rf"t.csv, line 4: {column.strip()} '7' stands also in line 2 with another question; "
        "give each its own, or rename the column"
    )
    with pytest.raises(BadInput, match=message):
        opened(write(tmp_path / "t.csv", rows))


def test_an_id_may_stand_twice_at_one_question_or_be_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,question,answer\n7,a?,b\n7,A?,c\n,d?,e\n,f?,g\n")
    facts, _, _, _, notes = opened(path)
    assert by_question(facts)["a?"]["objects"] == ["b", "c"]
    assert facts.height == 3
    assert "1 row merged into facts seen before" in notes


def test_an_id_column_may_hold_what_was_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,question,answer\nx,a?,b\nx,c?,d\n")
    assert opened(path, "relation=id").facts["relation"].to_list() == ["x", "x"]


def test_rows_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "question,answer,split\nz?,1,test\na?,2,train\nz?,1,dev\n")
    rows = read_table_rows(str(path), ReadOptions()).rows
    assert rows["question"].to_list() == ["z?", "a?", "z?"]
    assert rows["split"].to_list() == ["test", "train", "dev"]


def test_a_missing_file_a_folder_and_a_broken_parquet(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        opened(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(BadInput, match="is a directory"):
        opened(tmp_path / "folder.csv")
    with pytest.raises(Corrupted, match="not a readable Parquet"):
        opened(write(tmp_path / "t.parquet", b"no Parquet"))


FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
fields = st.sampled_from(["question", "answer", "subject", "split", "popularity", "flags", "x"])


SUFFIX = st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet"])


@FUZZ
@given(content=st.binary(max_size=300), suffix=SUFFIX)
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
        facts = opened(path).facts
    except (BadInput, Corrupted) as refused:
        complaint = str(refused)
    if complaint:
        assert str(path) in complaint
        assert "\n" not in complaint
    else:
        assert facts.height >= 1
        assert facts["objects"].list.len().min() >= 1
