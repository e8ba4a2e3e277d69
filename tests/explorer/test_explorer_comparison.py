"""What the pages ask of DuckDB, without a page."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from made_up_store import HOSTILE, RUNS, build_store, facts

from sixtyfold.core.accuracy import accuracy
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.explorer import one_fact
from sixtyfold.explorer.catalogue import Catalogue, Run
from sixtyfold.explorer.comparison import Comparisons, Filters
from sixtyfold.explorer.figures import both_sides, scored
from sixtyfold.explorer.of_store import catalogue_of_store
from sixtyfold.explorer.tables import Tables
from sixtyfold.stages.compare.comparison import macro_difference
from sixtyfold.stages.compare.transitions import transitions

pytest_plugins = ("explorer_fixtures",)


@pytest.fixture(scope="module")
def catalogue(store: Path) -> Catalogue:
    from sixtyfold.study.store import LocalStore

    return catalogue_of_store(LocalStore(store, make=False))


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def comparisons(catalogue: Catalogue, tables: Tables) -> Comparisons:
    return Comparisons(catalogue, tables)


@pytest.fixture
def pair(catalogue: Catalogue) -> tuple[Run, Run]:
    return catalogue.runs[RUNS[0].key], catalogue.runs[RUNS[1].key]


def read(run: Run) -> pl.DataFrame:
    return pl.read_parquet(run.path)


def test_rows_are_lost_first_and_hold_what_is_known(
    comparisons: Comparisons, catalogue: Catalogue
) -> None:
    better, worse = catalogue.runs[RUNS[1].key], catalogue.runs[RUNS[3].key]
    page = comparisons.page((better, worse), Filters(), count=2)
    # 3 relations × 20 facts; of every ten the one is right about six, the other about three
    assert page.found == 60
    assert page.rows[0] == {
        "fact_id": "capital-test-000003", "state": "lost", "domain": "in", "relation": "capital",
        "level": "3", "recall": 0.75, "question": "What is the capital of Subject 3?",
        "accepted": "Answer 3; Alias 3", "answer_a": "Answer 3", "answer_b": "no idea",
    }  # fmt: skip
    states = [row["state"] for row in comparisons.page((better, worse), Filters(), count=60).rows]
    assert states == ["lost"] * 18 + ["kept"] * 18 + ["never"] * 24


def test_every_filter_narrows_and_all_hold_together(
    comparisons: Comparisons, pair: tuple[Run, Run]
) -> None:
    asked = {
        Filters(): 60,
        Filters(state=("gained",)): 12,
        Filters(state=("gained", "kept")): 36,
        Filters(level=("4",)): 12,
        Filters(relation=("river", "capital")): 40,
        Filters(domain=("out",)): 20,
        Filters(text="subject 1?"): 3,
        Filters(text="NO IDEA"): 36,
        Filters(state=("gained",), level=("4",), domain=("in",), text="alias 14"): 2,
        Filters(relation=("nothing",)): 0,
    }
    assert {each: comparisons.page(pair, each).found for each in asked} == asked


@pytest.mark.parametrize("text", ["%", "_", "'", '"', "\\", "?", "'; drop table pair_0; --"])
def test_text_is_a_value_and_no_pattern_or_statement(
    comparisons: Comparisons, pair: tuple[Run, Run], text: str
) -> None:
    found = comparisons.page(pair, Filters(text=text, relation=(text,))).found
    assert found == 0
    expected = 60 if text == "?" else 0  # every question ends so
    assert comparisons.page(pair, Filters(text=text)).found == expected


def test_rows_are_sorted_and_paged_without_gap_or_overlap(
    comparisons: Comparisons, pair: tuple[Run, Run]
) -> None:
    seen = [
        row["fact_id"]
        for start in range(0, 60, 7)
        for row in comparisons.page(pair, Filters(), sort="level", start=start, count=7).rows
    ]
    assert sorted(seen) == sorted(facts(20)["fact_id"])
    levels = [int(each[-6:]) % 5 for each in seen]
    assert levels == sorted(levels)
    down = comparisons.page(pair, Filters(), sort="question", descending=True, count=1).rows
    assert down[0]["question"] == "What is the river of Subject 9?"


def test_only_known_columns_sort(comparisons: Comparisons, pair: tuple[Run, Run]) -> None:
    with pytest.raises(BadInput, match="sort was given 'answer_a; x'; allowed: state, domain"):
        comparisons.page(pair, Filters(), sort="answer_a; x")


def test_counts_by_level_look_past_filters_of_state_and_level(
    comparisons: Comparisons, pair: tuple[Run, Run]
) -> None:
    counts = comparisons.counts(pair, Filters(state=("lost",), level=("4",), domain=("out",)))
    found = {(row["level"], row["state"]): row["facts"] for row in counts.to_dicts()}
    assert found == {
        **{(str(level), "kept"): 2 for level in range(4)},
        ("0", "gained"): 2, ("4", "gained"): 2,
        **{(str(level), "never"): 2 for level in range(1, 5)},
    }  # fmt: skip


def test_choices_are_the_values_there_are(comparisons: Comparisons, pair: tuple[Run, Run]) -> None:
    assert comparisons.choices(pair) == {
        "state": ["gained", "kept", "never"],
        "level": ["0", "1", "2", "3", "4"],
        "relation": ["capital", "currency", "river"],
        "domain": ["in", "out"],
    }


def test_difference_is_that_of_the_compare_stage(
    comparisons: Comparisons, pair: tuple[Run, Run]
) -> None:
    before, after = map(read, pair)
    for each in both_sides(comparisons.by_relation(pair, Filters())):
        rows = transitions(before, after).filter(pl.col("domain") == each.domain)
        assert each.facts == rows.height
        assert each.difference == macro_difference(rows)
        assert each.before == accuracy(before, each.domain).macro_relation
        assert each.after == accuracy(after, each.domain).macro_relation


def test_accuracy_of_a_run_is_that_of_the_library(catalogue: Catalogue, tables: Tables) -> None:
    for run in catalogue.in_order():
        found = scored(tables, run)
        answers = read(run)
        assert found.facts == answers.height
        expected = {name: accuracy(answers, name).macro_relation for name in ("in", "out")}
        assert found.by_domain == expected


def test_many_pairs_do_not_pile_up(comparisons: Comparisons, catalogue: Catalogue) -> None:
    runs = catalogue.in_order("test")
    for before in runs:
        for after in runs:
            assert comparisons.page((before, after), Filters()).found == 60
    kept = comparisons._tables.rows("select count(*) as n from duckdb_tables()")
    assert kept == [{"n": 4}]


def test_runs_of_two_splits_have_nothing_in_common(
    comparisons: Comparisons, catalogue: Catalogue
) -> None:
    runs = (catalogue.runs[RUNS[4].key], catalogue.runs[RUNS[0].key])
    with pytest.raises(BadInput, match=r"'base · dev' and 'base · test' answer no common fact"):
        comparisons.page(runs, Filters())


def test_without_facts_and_probe_the_prompt_stands_in(
    catalogue: Catalogue, tables: Tables, pair: tuple[Run, Run]
) -> None:
    bare = catalogue._replace(facts={}, probes={})
    row = Comparisons(bare, tables).page(pair, Filters(), count=1).rows[0]
    assert row["question"].startswith("Question: What is the capital")
    assert (row["accepted"], row["recall"], row["level"]) == ("", None, "4")


def test_what_only_the_second_run_knows_is_shown(
    catalogue: Catalogue, pair: tuple[Run, Run]
) -> None:
    unknown = pair[0]._replace(name="bare", facts=None, probe=None)
    known, bare = (
        Comparisons(catalogue, Tables()).page((before, pair[1]), Filters(), count=60).rows
        for before in (pair[0], unknown)
    )
    assert bare == known
    assert {row["recall"] for row in bare} == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    store = build_store(tmp_path / "store", 4)
    found = catalogue_of_store(store)
    run = found.runs[RUNS[0].key]
    run.path.write_bytes(run.path.read_bytes()[:-100])
    comparisons = Comparisons(found, Tables())
    with pytest.raises(Corrupted, match=f"a table is not readable.*{RUNS[0].key}"):
        comparisons.page((run, found.runs[RUNS[1].key]), Filters())


def test_a_fact_is_found_with_its_probe_and_templates(catalogue: Catalogue, tables: Tables) -> None:
    fact = one_fact.find_fact(catalogue, tables, "river-test-000013")
    assert fact is not None
    assert fact.row["question"] == "What is the river of Subject 13?"
    probed = one_fact.probed(catalogue, tables, fact)
    assert len(probed) == 1
    assert (probed[0].label, probed[0].row["level"], probed[0].row["recall"]) == ("m", 3, 0.75)
    assert probed[0].protocol == "estimator survival, match standard, templates 2"
    texts = [row["text"] for row in probed[0].templates]
    assert texts == ["The river of Subject 13 is", "Subject 13 has"]
    assert [row["values"] for row in probed[0].templates] == [[0.5, 0.125]] * 2


def test_every_answer_to_a_fact_is_found_in_the_order_of_runs(
    catalogue: Catalogue, tables: Tables
) -> None:
    answers = one_fact.answers(catalogue, tables, "river-test-000004")
    found = [(each.run.label, each.row["hit"], each.row["answer"]) for each in answers]
    assert found == [
        ("base · test", False, "no idea"),
        ("sizes · size 60 · seed 0 · test", True, "Answer 4"),
        ("sizes · size 240 · seed 0 · test", True, "Answer 4"),
        ("sizes · size 240 · seed 1 · test", False, "no idea"),
    ]
    assert one_fact.answers(catalogue, tables, "unknown") == []
    assert one_fact.find_fact(catalogue, tables, "unknown") is None


def test_worked_examples_are_training_facts_of_the_relation(
    catalogue: Catalogue, tables: Tables
) -> None:
    asked = one_fact.find_fact(catalogue, tables, "capital-test-000001")
    assert asked is not None
    shots = one_fact.worked_examples(catalogue, tables, asked, 4)
    training = {row["question"]: row["objects"][0] for row in facts(20, "train").to_dicts()}
    assert len(set(shots)) == 4
    assert all(training[shot.question] == shot.answer for shot in shots)
    assert all("capital" in shot.question for shot in shots)
    outside = one_fact.find_fact(catalogue, tables, "river-test-000001")
    assert outside is not None
    mixed = one_fact.worked_examples(catalogue, tables, outside, 4)
    assert {word for shot in mixed for word in shot.question.split()} >= {"capital", "currency"}
    assert not any("river" in shot.question for shot in mixed)


def test_hostile_strings_come_back_as_they_are(tmp_path: Path) -> None:
    found = catalogue_of_store(build_store(tmp_path / "store", 20, hostile=True))
    pair = found.first_pair()
    assert pair is not None
    page = Comparisons(found, Tables()).page(pair, Filters(text=HOSTILE), count=100)
    assert {len(row["answer_b"]) > 1_000_000 for row in page.rows} == {True}
    assert any(row["question"] == HOSTILE for row in page.rows)
