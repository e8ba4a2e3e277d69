from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.answer_files import check_own_table, read_answers
from sixtyfold.core.errors import BadInput, IncompleteInput

OWN = pl.DataFrame({"fact_id": ["b", "a"], "hit": [True, False], "relation": ["r", "s"]})


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_forms(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write = {".parquet": OWN.write_parquet, ".csv": OWN.write_csv, ".jsonl": OWN.write_ndjson}
    write[path.suffix](path)
    read = read_answers(path)
    assert read.table.schema == ANSWERS_SCHEMA
    assert read.table.select("fact_id", "hit", "relation").rows() == [
        ("a", False, "s"), ("b", True, "r"),
    ]  # fmt: skip
    assert read.table["level"].null_count() == read.table["domain"].null_count() == 2
    assert read.match is None
    assert read.asked is None
    assert read_answers(path).fingerprint == read.fingerprint


def test_ids_and_answers_that_look_like_numbers_stay_as_written(tmp_path: Path) -> None:
    text = "\ufefffact_id,hit,answer\n007,1,01889\n008,0,1.50\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    table = read_answers(tmp_path / "t.csv").table
    assert table.select("fact_id", "answer").rows() == [("007", "01889"), ("008", "1.50")]


@pytest.mark.parametrize(
    ("given", "read"),
    [([1, 0], [True, False]), ([1.0, 0.0], [True, False]), (["Yes", "no"], [True, False]),
     (["TRUE", " false "], [True, False])],
)  # fmt: skip
def test_spellings_of_a_hit(given: list, read: list[bool]) -> None:
    table = check_own_table(pl.DataFrame({"fact_id": [1, 2], "hit": given}), "t")
    assert table["hit"].to_list() == read
    assert table["fact_id"].to_list() == ["1", "2"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"fact_id": ["a"]}, "needs the columns fact_id and hit .* missing here: hit"),
        ({"fact_id": ["a"], "hit": [0.5]}, "hit '0.5' is neither yes nor no"),
        ({"fact_id": ["a"], "hit": ["maybe"]}, "hit 'maybe' is neither yes nor no"),
        ({"fact_id": ["a"], "hit": [None]}, "1 rows have no 'hit'"),
        ({"fact_id": [None], "hit": [True]}, "1 rows have no fact_id"),
        ({"fact_id": ["a", "a"], "hit": [True, True]}, "fact a stands twice"),
        ({"fact_id": ["a"], "hit": [True], "domain": ["inside"]}, "domain 'inside' is none"),
        ({"fact_id": ["a"], "hit": [True], "level": [5]}, "level 5 is none; allowed: 0, 1, 2"),
        ({"fact_id": ["a"], "hit": [True], "level": ["x"]}, "level 'x' is none"),
    ],
)
def test_refusals(columns: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        check_own_table(pl.DataFrame(columns), "t")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no table"):
        read_answers(tmp_path / "none.csv")
    with pytest.raises(IncompleteInput, match="no directory"):
        read_answers(tmp_path / "none")
    (tmp_path / "t.xlsx").write_text("x")
    with pytest.raises(BadInput, match=r"t\.xlsx is no form of answers; allowed: a directory of"):
        read_answers(tmp_path / "t.xlsx")
    (tmp_path / "bad.jsonl").write_text('{"fact_id": ')
    with pytest.raises(BadInput, match="not a readable jsonl table"):
        read_answers(tmp_path / "bad.jsonl")
