from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from sixtyfold.cli import run_command
from sixtyfold.core.atomic_files import write_json, write_parquet
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.study.columns import CELLS_SCHEMA, SCHEMA
from sixtyfold.study.spec import SqlSpec
from sixtyfold.study.sql import ask
from sixtyfold.study.store import LocalStore

KEYS = [f"{number:016x}" for number in range(4)]


def answers(hits: list[bool], **more: list[object]) -> pl.DataFrame:
    rows = {
        "fact_id": [f"f{n}" for n in range(len(hits))],
        "level": [n % 2 for n in range(len(hits))],
    }
    return pl.DataFrame({**rows, "hit": hits, **more})


def put_result(store: LocalStore, stage: str, key: str, **tables: pl.DataFrame) -> None:
    folder = store.root / "results" / stage / key
    folder.mkdir(parents=True)
    for name, table in tables.items():
        write_parquet(folder / f"{name}.parquet", table)
    write_json(store.root / "records" / f"{key}.json", {"key": key})


def cell(study: str, size: str, role: str, stage: str, key: str) -> tuple[object, ...]:
    return (study, "g", "m", 0, size, None, 1e-4, True, "{}", role, stage, key)


def numbers(value: float) -> pl.DataFrame:
    figure = {"measure": "macro_relation", "value": value, "n": 4, "split": "test"}
    return pl.DataFrame([figure], schema=SCHEMA)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Answers of two sizes, one of them with a column more, and a probe both cells share."""
    store = LocalStore(tmp_path / "it's a store")
    put_result(store, "evaluate", KEYS[0], answers=answers([True] * 4), numbers=numbers(0.25))
    wider = answers([False, True, False, True], round=[1, 1, 1, 1])
    put_result(store, "evaluate", KEYS[1], answers=wider, numbers=numbers(0.5))
    probe = pl.DataFrame({"fact_id": ["f0"], "level_probs": [[0.5, 0.5]]})
    put_result(store, "probe", KEYS[2], probe=probe, numbers=numbers(0.75))
    for study, size in (("a", "60"), ("b", "240")):
        key = KEYS[0] if study == "a" else KEYS[1]
        rows = [
            cell(study, size, "test", "evaluate", key),
            cell(study, size, "probe", "probe", KEYS[2]),
        ]
        store.write_cells(study, pl.DataFrame(rows, schema=CELLS_SCHEMA, orient="row"))
    return store


def asked(store: LocalStore, query: str) -> pl.DataFrame:
    return ask(SqlSpec(store=store.url, query=query))


def test_tables_of_all_cells_are_one_view_with_their_cells(store: LocalStore) -> None:
    found = asked(
        store,
        "select size, level, avg(hit::int) as accuracy, count(*) as n "
        "from answers join cells using (key, stage) group by all order by all",
    )
    assert found.columns == ["size", "level", "accuracy", "n"]
    assert found.rows() == [
        *[("240", 0, 0.0, 2), ("240", 1, 1.0, 2)],
        *[("60", 0, 1.0, 2), ("60", 1, 1.0, 2)],
    ]


def test_columns_are_matched_by_name_and_key_and_stage_come_first(store: LocalStore) -> None:
    found = asked(store, "from answers order by key, fact_id")
    assert found.columns == ["key", "stage", "fact_id", "level", "hit", "round"]
    assert found["key"].to_list() == [KEYS[0]] * 4 + [KEYS[1]] * 4
    assert found["round"].to_list() == [None] * 4 + [1] * 4
    assert set(found["stage"]) == {"evaluate"}


def test_results_are_cells_with_their_numbers(store: LocalStore) -> None:
    found = asked(store, "select study, role, value from results order by study, role")
    assert found.rows() == [
        *[("a", "probe", 0.75), ("a", "test", 0.25)],
        *[("b", "probe", 0.75), ("b", "test", 0.5)],
    ]
    assert asked(store, "select count(*) as n from numbers").item() == 3


def test_what_is_not_recorded_is_not_seen(store: LocalStore) -> None:
    folder = store.root / "results" / "evaluate" / KEYS[3]
    folder.mkdir()
    (folder / "answers.parquet").write_bytes(b"half of a table")
    (folder / "draft.parquet").write_bytes(b"")
    assert asked(store, "select count(*) from answers").item() == 8
    assert "draft" not in asked(store, "show tables")["name"].to_list()
    (store.root / "records" / f"{KEYS[1]}.json").unlink()
    assert asked(store, "select distinct key from answers")["key"].to_list() == [KEYS[0]]
    assert asked(store, "select study from results where role = 'test'")["study"].to_list() == ["a"]


def test_an_empty_store_has_its_three_views(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    assert asked(store, "show tables")["name"].to_list() == ["cells", "numbers", "results"]
    empty = asked(store, "from results")
    assert empty.is_empty()
    assert empty.columns == [*CELLS_SCHEMA, *SCHEMA]


def test_show_and_describe_say_what_there_is(store: LocalStore) -> None:
    names = ["answers", "cells", "numbers", "probe", "results"]
    assert sorted(asked(store, "show tables")["name"]) == names
    columns = asked(store, "describe probe")["column_name"].to_list()
    assert columns == ["key", "stage", "fact_id", "level_probs"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select levl from answers", r'"levl" not found .*; columns of answers: key, stage, fact'),
        ("select * from nswers", r"nswers does not exist.*; views here: cells, numbers, results"),
        ("selec 1", r"syntax error at or near .selec.*; views here: cells"),
        ("select hit + from answers where split = 'test'", "syntax error"),
        ("", "--query was given no statement; allowed: one SELECT"),
        ("select 1; select 2", "was given SELECT, SELECT; allowed: one SELECT"),
        ("create table x as select 1", "was given CREATE; allowed: one SELECT"),
        ("set threads = 1", "was given SET; allowed"),
        ("select level / (hit from answers", "syntax error"),
        ("select hit::date from answers", "onver|ast"),
    ],
)
def test_a_wrong_query_is_one_line_with_what_there_is(
    query: str, said: str, store: LocalStore
) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        asked(store, query)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_text('{outside}')",
        "select * from '{outside}'",
        "select * from glob('{folder}/*')",
        "select * from read_parquet('{other}')",
        "copy (select 1) to '{folder}/new.csv'",
        "copy answers to '{answers}'",
        "attach '{folder}/new.db'",
        "explain analyze copy (select 1) to '{folder}/new.csv'",
        "select * from query('copy (select 1) to ''{folder}/new.csv''')",
        "install httpfs",
        "pragma database_list",
    ],
)
def test_a_query_reads_its_tables_and_touches_nothing_else(
    query: str, store: LocalStore, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.csv"
    outside.write_text("a,b\n1,2\n")
    half = store.root / "results" / "evaluate" / KEYS[3]
    half.mkdir()
    write_parquet(half / "answers.parquet", answers([True]))
    good = store.root / "results" / "evaluate" / KEYS[0] / "answers.parquet"
    before = good.read_bytes()
    places = {"outside": outside, "folder": tmp_path, "other": half / "answers.parquet"}
    escaped = {name: str(path).replace("'", "''") for name, path in places.items()}
    there = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(BadInput):
        asked(store, query.format(**escaped, answers=str(good).replace("'", "''")))
    assert sorted(path for path in tmp_path.rglob("*")) == there
    assert good.read_bytes() == before


@pytest.mark.parametrize("damage", ["truncated", "emptied"])
def test_a_damaged_table_is_named_where_it_is_asked_for(damage: str, store: LocalStore) -> None:
    path = store.root / "results" / "evaluate" / KEYS[0] / "answers.parquet"
    path.write_bytes(path.read_bytes()[:-5] if damage == "truncated" else b"")
    with pytest.raises(Corrupted, match=rf"{KEYS[0]}/answers.parquet.*'sixtyfold study run'"):
        asked(store, "select count(*) from answers")
    probe = asked(store, "select count(*) from probe where fact_id <> 'answers'")
    assert probe.item() == 1


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no store in"):
        ask(SqlSpec(store=str(tmp_path / "none"), query="select 1"))
    assert not list(tmp_path.iterdir())


def test_the_command_prints_a_table_csv_and_json(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sql", "--store", store.url, "--query"]
    query = "select size, sum(hit::int) as hits from answers join cells using (key) "
    query += "group by 1 order by 1"
    assert run_command([*command, query]) == 0
    table = capsys.readouterr().out
    assert "│ 240" in table
    assert run_command([*command, query, "--format", "csv"]) == 0
    assert capsys.readouterr().out == "size,hits\n240,2\n60,4\n"
    assert run_command([*command, query, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"size": "240", "hits": 2},
        {"size": "60", "hits": 4},
    ]
    assert run_command([*command, "select level_probs from probe", "--format", "csv"]) == 0
    assert capsys.readouterr().out == 'level_probs\n"[0.5, 0.5]"\n'


def test_the_command_prints_so_many_rows_and_says_so(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["sql", "--store", store.url, "--query", "select fact_id from answers"]
    assert run_command([*command, "--rows", "3"]) == 0
    assert "3 of 8 rows; --rows N or --format csv for more" in capsys.readouterr().out
    assert run_command([*command, "--rows", "8"]) == 0
    assert "rows;" not in capsys.readouterr().out
    assert run_command(["sql", "--store", store.url, "--query", "selec"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "syntax error" in said
