"""From rows to facts: keys, precedence of splits, united answers, flags."""

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixtyfold.core.errors import BadInput
from sixtyfold.core.facts import FACTS_SCHEMA, SPLITS, normalise
from sixtyfold.sources.rows import ROWS_SCHEMA, facts_of_rows


def row(
    subject: str, objects: list[str], split: str | None = "train", **more: Any
) -> dict[str, Any]:
    return {
        "relation": "capital",
        "subject": subject,
        "objects": objects,
        "question": f"What is the capital of {subject}?",
        "split": split,
        "domain": "in",
        "flags": [],
        "popularity": None,
        **more,
    }


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=ROWS_SCHEMA)


def one_fact(*rows: dict[str, Any]) -> dict[str, Any]:
    facts, _ = facts_of_rows(table(*rows), "here")
    assert facts.height == 1
    return facts.row(0, named=True)


def test_rows_without_repeats_stay_as_they_are() -> None:
    rows = [row("France", ["Paris"], "train"), row("Peru", ["Lima"], "test", domain="out")]
    facts, notes = facts_of_rows(table(*rows), "here")
    assert facts.schema == FACTS_SCHEMA
    assert facts["fact_id"].is_sorted()
    assert facts.drop("fact_id").sort("subject").rows(named=True) == rows
    assert notes == []


@pytest.mark.parametrize(
    ("splits", "kept"),
    [
        (["train", "dev", "test"], "test"),
        (["train", "dev"], "dev"),
        (["test", "train"], "test"),
        (["dev", "test"], "test"),
    ],
)
def test_a_fact_in_several_splits_stays_held_out(splits: list[str], kept: str) -> None:
    rows = [row("Chad", ["N'Djamena"], split, question=f"{split}?") for split in splits]
    fact = one_fact(*rows)
    assert (fact["split"], fact["question"]) == (kept, f"{kept}?")
    assert fact["flags"] == ["in_several_splits"]


def test_the_same_split_twice_is_not_several() -> None:
    assert one_fact(row("Chad", ["N'Djamena"]), row("CHAD ", ["N'Djamena"]))["flags"] == []


def test_case_width_and_spaces_make_no_new_fact() -> None:
    fact = one_fact(row("Sri  Lanka", ["Colombo"]), row("ｓｒｉ lanka", ["Kotte"]))
    assert (fact["subject"], fact["objects"]) == ("Sri  Lanka", ["Colombo", "Kotte"])
    assert fact["flags"] == ["ambiguous"]


def test_answers_that_agree_up_to_case_are_not_ambiguous() -> None:
    fact = one_fact(row("Peru", ["Lima"]), row("Peru", ["LIMA", "Ciudad de los Reyes"]))
    assert fact["objects"] == ["Lima", "LIMA", "Ciudad de los Reyes"]
    assert fact["flags"] == []


@pytest.mark.parametrize(
    ("answers", "ambiguous"),
    [
        ([["UK"], ["UK", "Britain"], ["Britain"]], False),
        ([["UK"], ["Britain"], ["UK", "Britain"]], False),
        ([["UK"], ["Britain", "GB"], ["GB"]], True),
        ([["UK"], ["US"], ["UK"]], True),
    ],
)
def test_rows_disagree_where_no_answer_leads_from_one_to_the_other(
    answers: list[list[str]], ambiguous: bool
) -> None:
    fact = one_fact(*[row("London", each) for each in answers])
    assert fact["flags"] == (["ambiguous"] if ambiguous else [])
    assert set(fact["objects"]) == {name for each in answers for name in each}


def test_flags_given_stay_and_popularity_is_the_largest() -> None:
    fact = one_fact(
        row("Peru", ["Lima"], flags=["odd"], popularity=None),
        row("Peru", ["Lima"], flags=["checked"], popularity=7),
        row("Peru", ["Lima"], popularity=3),
    )
    assert (fact["flags"], fact["popularity"]) == (["checked", "odd"], 7)


def test_merged_rows_are_counted() -> None:
    _, notes = facts_of_rows(table(*[row("Peru", ["Lima"])] * 3, row("Chad", ["x"])), "here")
    assert notes == ["2 rows merged into facts seen before"]


def test_an_answer_in_the_subject_is_flagged_and_in_the_question_without_one() -> None:
    rows = [
        row("Bank of Madrid", ["MADRID"]),
        row("Nigeria", ["Niger"]),
        row("Saint-Étienne Airport", ["Nowhere", "St. Etienne"]),
        row("Paris", ["Lyon"], question="Is Lyon near Paris?"),
        row("", ["Rome"], question="Which city is called Rome?"),
    ]
    facts, _ = facts_of_rows(table(*rows), "here")
    flagged = facts.filter(pl.col("flags").list.contains("answer_in_subject"))
    assert sorted(flagged["objects"].list.first()) == ["MADRID", "Nowhere", "Rome"]


def test_a_missing_domain_is_in_and_missing_splits_are_hashed() -> None:
    rows = [row(f"S{n}", ["x"], None, domain=None) for n in range(40)]
    facts, notes = facts_of_rows(table(*rows), "here")
    assert facts["domain"].unique().to_list() == ["in"]
    assert sorted(facts["split"].unique()) == sorted(SPLITS)
    assert notes == ["no splits given: split 50:20:30 into train, dev and test by a hash"]


def test_a_hashed_split_ignores_the_other_rows() -> None:
    rows = [row(f"S{n}", ["x"], None) for n in range(40)]
    whole, _ = facts_of_rows(table(*rows), "here")
    part, _ = facts_of_rows(table(*rows[30:10:-1]), "here")
    assert part.equals(whole.filter(pl.col("fact_id").is_in(part["fact_id"].implode())))


def test_without_a_subject_the_question_is_the_key() -> None:
    rows = [
        row("", ["Paris"], question="Where is the Louvre?"),
        row("", ["France"], question="where is THE louvre?", relation="other"),
        row("", ["Paris"], question="Where is it?"),
    ]
    facts, _ = facts_of_rows(table(*rows), "here")
    assert sorted(facts["flags"].to_list()) == [[], ["ambiguous"]]


def test_no_rows_are_no_facts() -> None:
    facts, notes = facts_of_rows(table(), "here")
    assert (facts.schema, facts.height, notes) == (FACTS_SCHEMA, 0, [])


def test_what_facts_may_not_be_is_refused_with_its_origin() -> None:
    with pytest.raises(
        BadInput, match=r"here: fact \w+ \('What .* Peru\?'\) has no accepted answer"
    ):
        facts_of_rows(table(row("Peru", [])), "here")


names = st.sampled_from(["Peru", "PERU", "ｐｅｒｕ", "Chad", "chad ", ""])
answers = st.lists(st.sampled_from(["a", "A", "b", "c", "d"]), min_size=1, max_size=3, unique=True)
any_rows = st.lists(
    st.builds(
        row,
        names,
        answers,
        st.sampled_from([*SPLITS, None]),
        flags=st.sampled_from([[], ["odd"]]),
        popularity=st.none() | st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)


@given(rows=any_rows, data=st.data())
def test_any_row_order_gives_the_same_facts(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(rows))
    seen = [facts_of_rows(table(*each), "here") for each in (rows, shuffled)]
    # What may differ: which spelling stands first.
    tables = [
        facts.select(
            *("fact_id", "split", "domain", "flags", "popularity"),
            objects=pl.col("objects").list.sort(),
        )
        for facts, _ in seen
    ]
    assert tables[0].equals(tables[1])
    assert seen[0][1] == seen[1][1]


@given(rows=any_rows)
def test_every_row_is_found_again_in_one_fact_of_one_split(rows: list[dict[str, Any]]) -> None:
    facts, _ = facts_of_rows(table(*rows), "here")
    assert facts["fact_id"].is_unique().all()
    by_name = {normalise(fact["subject"]): fact for fact in facts.iter_rows(named=True)}
    assert len(by_name) == facts.height
    for each in rows:
        fact = by_name[normalise(each["subject"])]
        assert set(each["objects"]) <= set(fact["objects"])
        assert set(each["flags"]) <= set(fact["flags"])
        if each["split"] == "test":
            assert fact["split"] == "test"
        if each["split"] == "dev":
            assert fact["split"] != "train"
