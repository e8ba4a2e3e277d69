"""The figures of `facts inspect`: by hand, against plain counting, and on many facts."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_up_facts import fact
from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import FACTS_SCHEMA, SPLITS, normalise
from sixtyfold.sources.inspect import inspect, run
from sixtyfold.sources.spec import FactsInspectSpec
from sixtyfold.sources.spellings import stands_in

NUMBERS = ("facts", *SPLITS, "subjects", "answers", "several_answers", "in_several_splits")


def _fact(
    relation: str, subject: str, objects: list[str], split: str, **more: Any
) -> dict[str, Any]:
    return fact(subject, objects, split, relation=relation, **more)


def inspected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return inspect(pl.DataFrame(rows, schema=FACTS_SCHEMA)).rows(named=True)


def test_every_figure_by_hand() -> None:
    rows = [
        _fact("city", "Bank of Madrid", ["Madrid"], "train"),
        _fact("city", "Prado", ["Madrid", "Madrid, Spain"], "dev", flags=["several_answers"]),
        _fact("city", "Louvre", ["Paris"], "test", question="Where is it?"),
        _fact("city", "louvre ", ["paris"], "test", flags=["ambiguous", "in_several_splits"]),
        _fact("place", "Louvre", ["France"], "train", question="where  is IT?"),
    ]
    city, place = inspected(rows)
    assert city == {
        "relation": "city",
        "domain": "in",
        "facts": 4,
        "train": 1,
        "dev": 1,
        "test": 2,
        "subjects": 3,
        "answers": 2,
        "top_answer": "Madrid",
        "top_share": 0.5,
        "in_subject_share": 0.25,
        "several_answers": 2,
        "in_several_splits": 1,
        "shared_questions": 1,
    }
    assert place["shared_questions"] == 1


def test_a_list_of_answers_alone_is_not_several_answers() -> None:
    flags = [[], ["answer_in_subject"], ["ambiguous"], ["several_answers"]]
    flags.append(["ambiguous", "several_answers"])
    rows = [_fact("a", f"s{n}", ["x", "y"], "test", flags=each) for n, each in enumerate(flags)]
    assert inspected(rows)[0]["several_answers"] == 3


def test_a_question_twice_in_one_split_is_not_shared() -> None:
    rows = [
        _fact("a", "x", ["1"], "train", question="Where?"),
        _fact("b", "x", ["1"], "train", question="Where?"),
        _fact("c", "x", ["1"], "test", question="When?"),
    ]
    assert [row["shared_questions"] for row in inspected(rows)] == [0, 0, 0]


def test_an_accepted_answer_after_the_first_counts_as_copied() -> None:
    rows = [
        _fact("a", "Saint-Étienne Airport", ["Loire", "St. Etienne"], "test"),
        _fact("a", "Nigeria", ["Niger"], "test"),
        _fact("a", "", ["!"], "test", question="!?"),
    ]
    (row,) = inspected(rows)
    assert row["in_subject_share"] == 1 / 3
    assert row["subjects"] == 2


def test_equally_common_answers_go_by_alphabet() -> None:
    rows = [_fact("a", f"s{n}", [name], "test") for n, name in enumerate("zbybxz")]
    (row,) = inspected(rows)
    assert (row["top_answer"], row["top_share"]) == ("b", 2 / 6)


def test_rows_are_sorted_and_mixed_domains_are_told() -> None:
    rows = [
        _fact("b", "x", ["1"], "test", domain="out"),
        _fact("a", "x", ["1"], "test", domain="out"),
        _fact("c", "x", ["1"], "test"),
        _fact("d", "x", ["1"], "test"),
        _fact("d", "y", ["1"], "test", domain="out"),
    ]
    assert [(row["domain"], row["relation"]) for row in inspected(rows)] == [
        ("in", "c"),
        ("mixed", "d"),
        ("out", "a"),
        ("out", "b"),
    ]


names = st.sampled_from(
    ["Rome", "ROME", "Ｒｏｍｅ", "Old Rome", "Łódź", "Lodz", "Straße", "STRASSE", "!"]
)


@given(
    rows=st.lists(
        st.builds(
            _fact,
            st.sampled_from(["a", "b"]),
            names,
            st.lists(names, min_size=1, max_size=3),
            st.sampled_from(SPLITS),
            question=st.sampled_from(["Where?", "WHERE?", "Who?", "What?"]),
            flags=st.lists(
                st.sampled_from(["ambiguous", "several_answers", "in_several_splits", "odd"]),
                unique=True,
            ),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_the_figures_equal_plain_counting(rows: list[dict[str, Any]]) -> None:
    splits_of: dict[str, set[str]] = {}
    for row in rows:
        splits_of.setdefault(normalise(row["question"]), set()).add(row["split"])
    for found in inspected(rows):
        group = [row for row in rows if row["relation"] == found["relation"]]
        firsts = Counter(row["objects"][0] for row in group)
        top, count = min(firsts.items(), key=lambda item: (-item[1], item[0]))
        asked = {normalise(row["question"]) for row in group}
        copied = sum(any(stands_in(o, row["subject"]) for o in row["objects"]) for row in group)
        several = {"ambiguous", "several_answers"}
        assert found == {
            "relation": group[0]["relation"],
            "domain": "in",
            "facts": len(group),
            **{split: sum(row["split"] == split for row in group) for split in SPLITS},
            "subjects": len({normalise(row["subject"]) for row in group}),
            "answers": len({normalise(name) for name in firsts}),
            "top_answer": top,
            "top_share": count / len(group),
            "in_subject_share": copied / len(group),
            "several_answers": sum(bool(several & set(row["flags"])) for row in group),
            "in_several_splits": sum("in_several_splits" in row["flags"] for row in group),
            "shared_questions": sum(len(splits_of[question]) > 1 for question in asked),
        }


def test_a_large_table_takes_little_time() -> None:
    rows = 21_000
    numbers = range(rows)
    frame = pl.DataFrame(
        {
            "fact_id": [f"{n:016x}" for n in numbers],
            "relation": [f"P{n % 20}" for n in numbers],
            "subject": [f"Museum of Someplace {n}" for n in numbers],
            "objects": [[f"City {n % 700}", "Someplace"] for n in numbers],
            "question": [f"Where is Museum of Someplace {n}?" for n in numbers],
            "split": [SPLITS[n % 3] for n in numbers],
            "domain": ["in"] * rows,
            "flags": [[]] * rows,
            "popularity": [None] * rows,
        },
        schema=FACTS_SCHEMA,
    )
    table = inspect(frame)
    assert table.select(NUMBERS).sum().row(0, named=True) == {
        "facts": rows,
        **dict.fromkeys(SPLITS, rows // 3),
        "subjects": rows,
        "answers": 700,
        "several_answers": 0,
        "in_several_splits": 0,
    }
    assert table["in_subject_share"].to_list() == [1.0] * 20


def test_run_reads_with_the_options_and_returns_the_notes(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "ask,answer,subject,relation,split\n"
        "Who?,Ada,x,a,train\nWho?,Bob,X,a,test\nWhen?,now,y,b,test\n",
        encoding="utf-8",
    )
    inspection = run(
        FactsInspectSpec(facts=str(path), columns="question=ask", ambiguous="drop", in_domain="b")
    )
    assert inspection.table.select("relation", "domain", "facts").rows() == [("b", "in", 1)]
    assert inspection.notes[0].startswith("columns read: question from 'ask', answers from")
    assert "1 ambiguous facts dropped" in inspection.notes
    with pytest.raises(BadInput, match="--columns names 'asks', which is no column here"):
        run(FactsInspectSpec(facts=str(path), columns="question=asks"))
