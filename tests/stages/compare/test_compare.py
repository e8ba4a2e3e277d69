"""The compare stage: transitions, differences, refusals, resume."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from made_up_run import RIGHT, answers, facts, stage
from sixtyfold.core.errors import BadInput, IncompleteInput, OtherResult
from sixtyfold.core.paired_tests import holm, micro_difference, stratified_difference
from sixtyfold.core.stage import finished
from sixtyfold.stages.compare.comparison import comparison
from sixtyfold.stages.compare.run import plan, run
from sixtyfold.stages.compare.spec import CompareSpec
from sixtyfold.stages.compare.transitions import state_counts, transitions
from sixtyfold.stages.compare.words import difference_table, state_table


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    table = facts()
    for model in ("base-fewshot", "tuned"):
        stage(tmp_path / model, "evaluate", {"answers": answers(table, RIGHT[model])})
    return tmp_path / "base-fewshot", tmp_path / "tuned"


def tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    table = facts()
    before = answers(table, {"capital": 6, "currency": 4, "river": 3})
    # capital gains 6 and 7, currency loses 2 and 3, river stays
    after = answers(table, {"capital": 8, "currency": 2, "river": 3})
    return before, after


def test_states_by_hand() -> None:
    rows = transitions(*tables())
    assert state_counts(rows) == {"kept": 11, "lost": 2, "gained": 2, "never": 15}
    capital = rows.filter(pl.col("relation") == "capital")
    assert state_counts(capital) == {"kept": 6, "lost": 0, "gained": 2, "never": 2}
    lost = rows.filter(pl.col("state") == "lost")
    assert lost["answer_before"].to_list() == ["common", "common"]
    assert lost["answer_after"].to_list() == ["no idea", "no idea"]


def test_row_order_changes_nothing() -> None:
    before, after = tables()
    shuffled = transitions(before.sample(fraction=1, shuffle=True, seed=1), after.reverse())
    assert shuffled.equals(transitions(before, after))


def test_facts_of_one_table_only_are_left_out() -> None:
    before, after = tables()
    assert transitions(before.head(12), after).height == 12


def test_a_level_known_to_one_side_is_taken() -> None:
    before, after = tables()
    bare = before.with_columns(level=pl.lit(None, dtype=pl.Int8))
    assert transitions(bare, after)["level"].equals(transitions(before, after)["level"])


def test_comparison_by_hand() -> None:
    found = comparison(transitions(*tables()))
    inside = found["domains"]["in"]
    assert inside["n"] == 20
    assert inside["transitions"] == {"kept": 8, "lost": 2, "gained": 2, "never": 8}
    macro = stratified_difference([2, 0], [0, 2], [10, 10])
    micro = micro_difference(2, 2, 20)
    assert macro is not None
    assert micro is not None
    assert {**macro.rounded(), "p_holm": 1.0} == inside["these_relations"]
    assert {**micro.rounded(), "p_holm": 1.0} == inside["micro"]
    assert found["domains"]["out"]["new_relations"] is None  # one relation tells of no other
    assert found["family"] == [
        "in:micro", "in:these_relations", "in:new_relations", "out:micro", "out:these_relations",
    ]  # fmt: skip
    capital = micro_difference(2, 0, 10)
    assert capital is not None
    assert found["by_relation"][0] == {
        "relation": "capital", "kept": 6, "lost": 0, "gained": 2, "never": 2, "n": 10,
        "value": 0.2, "low": round(capital.low, 6), "high": round(capital.high, 6),
    }  # fmt: skip
    assert [row["level"] for row in found["by_level"]] == [0, 1, 2, 3, 4]


def test_mean_over_levels_by_hand() -> None:
    table = facts(60)
    before = answers(table, {"capital": 30, "currency": 30, "river": 0})
    after = answers(table, {"capital": 31, "currency": 30, "river": 0})  # gains one, of level 0
    found = comparison(transitions(before, after))["domains"]
    levels = stratified_difference([1, 0, 0, 0, 0], [0] * 5, [24] * 5)
    assert levels is not None
    got = found["in"]["these_levels"]
    assert got.pop("p_holm") >= got["p"]
    assert got == levels.rounded()
    assert found["out"]["these_levels"] is None  # 12 facts a level are too few


def test_holm_runs_over_all_tests_of_the_file() -> None:
    table = facts(60)
    before = answers(table, {"capital": 10, "currency": 10, "river": 10})
    after = answers(table, {"capital": 40, "currency": 30, "river": 14})
    found = comparison(transitions(before, after))
    parts = [name.split(":") for name in found["family"]]
    tests = [found["domains"][domain][name] for domain, name in parts]
    assert [test["p_holm"] for test in tests] == pytest.approx(
        holm([test["p"] for test in tests]), rel=1e-4
    )
    assert tests[0]["p_holm"] > tests[0]["p"]


def test_run_writes_and_resumes(sides: tuple[Path, Path], tmp_path: Path) -> None:
    spec = CompareSpec(before=sides[0], after=sides[1], out=tmp_path / "c")
    first = run(spec)
    assert first.json("comparison")["domains"]["in"]["transitions"]["gained"] == 4
    assert first.manifest["rows"] == {"transitions": 30}
    table = (tmp_path / "c" / "transitions.parquet").read_bytes()
    # killed before the manifest: the same command ends with the same files
    (tmp_path / "c" / "manifest.json").unlink()
    again = run(spec)
    assert (tmp_path / "c" / "transitions.parquet").read_bytes() == table
    assert again.manifest == first.manifest
    assert run(spec).manifest == first.manifest


def test_equal_answers_elsewhere_give_an_equal_manifest(
    sides: tuple[Path, Path], tmp_path: Path
) -> None:
    first = run(CompareSpec(before=sides[0], after=sides[1], out=tmp_path / "c"))
    moved = sides[0].rename(tmp_path / "moved")
    second = run(CompareSpec(before=moved, after=sides[1], out=tmp_path / "d"))
    assert second.manifest == first.manifest


def test_other_answers_are_refused(sides: tuple[Path, Path], tmp_path: Path) -> None:
    run(CompareSpec(before=sides[0], after=sides[1], out=tmp_path / "c"))
    with pytest.raises(OtherResult, match="choose another --out"):
        run(CompareSpec(before=sides[1], after=sides[0], out=tmp_path / "c"))


def test_bare_tables(sides: tuple[Path, Path], tmp_path: Path) -> None:
    bare = sides[0] / "answers.parquet"
    found = run(CompareSpec(before=bare, after=sides[1], out=tmp_path / "c"))
    assert found.table("transitions").height == 30


def test_tables_of_ones_own(sides: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = (finished(side).table("answers") for side in sides)
    before.select("fact_id", pl.col("hit").cast(pl.Int8)).write_csv(tmp_path / "before.csv")
    after.select("fact_id", "hit").write_ndjson(tmp_path / "after.jsonl")
    spec = CompareSpec(
        before=tmp_path / "before.csv", after=tmp_path / "after.jsonl", out=tmp_path / "c"
    )
    bare = run(spec)
    whole = run(CompareSpec(before=sides[0], after=sides[1], out=tmp_path / "d"))
    columns = ("fact_id", "hit_before", "hit_after", "state")
    assert (
        bare.table("transitions").select(columns).equals(whole.table("transitions").select(columns))
    )
    assert set(bare.table("transitions")["relation"]) == {"all"}
    assert bare.json("comparison")["domains"]["in"]["n"] == 30
    # one side says what the other does not
    mixed = run(CompareSpec(before=tmp_path / "before.csv", after=sides[1], out=tmp_path / "e"))
    assert mixed.json("comparison") == whole.json("comparison")
    assert mixed.manifest["rules"] == {"before": None, "after": "standard"}


def test_tables_for_people(sides: tuple[Path, Path], tmp_path: Path) -> None:
    found = run(CompareSpec(before=sides[0], after=sides[1], out=tmp_path / "c")).json("comparison")
    shown = difference_table(found)
    # capital and currency: 4 of 20 gained, none lost, McNemar 2 / 2⁴. Each gained 2 of 10: both
    # macros have p = .0986, and Holm's 5 × .0986 = .493 holds for the larger p as well.
    assert shown.row(0, named=True) | {"95% interval": ""} == {
        "domain": "in", "difference": "all facts alike (McNemar)", "points": "+20.0",
        "95% interval": "", "p": "0.125", "p Holm": "0.493", "could see": "30.8", "facts": 20,
    }  # fmt: skip
    assert shown["domain"].to_list() == ["in", "in", "in", "out", "out"]
    states = state_table(found)
    assert states.row(0) == ("in", 10, 0, 4, 6, "", "")
    assert states["facts of"].to_list() == [
        "in", "out", *(f"level {i}" for i in range(5)),
        "relation capital", "relation currency", "relation river",
    ]  # fmt: skip


def test_plan_does_nothing(sides: tuple[Path, Path], tmp_path: Path) -> None:
    spec = CompareSpec(before=sides[0], after=sides[1], out=tmp_path / "c")
    assert plan(spec) == {"facts": 30, "only_before": 0, "only_after": 0}
    assert not spec.out.exists()


def test_refusals(sides: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "c"
    with pytest.raises(IncompleteInput, match="no directory"):
        run(CompareSpec(before=tmp_path / "none", after=sides[1], out=out))
    other = answers(facts(), RIGHT["tuned"], split="dev")
    stage(tmp_path / "dev", "evaluate", {"answers": other})
    with pytest.raises(BadInput, match="share no fact_id"):
        run(CompareSpec(before=tmp_path / "dev", after=sides[1], out=out))
    strict = answers(facts(), RIGHT["tuned"])
    stage(tmp_path / "strict", "evaluate", {"answers": strict}, match="strict")
    with pytest.raises(BadInput, match="matched with 'strict'"):
        run(CompareSpec(before=tmp_path / "strict", after=sides[1], out=out))
    moved = answers(facts(), RIGHT["tuned"]).with_columns(relation=pl.lit("else"))
    stage(tmp_path / "else", "evaluate", {"answers": moved})
    with pytest.raises(BadInput, match="another relation or domain"):
        run(CompareSpec(before=sides[0], after=tmp_path / "else", out=out))
    assert not out.exists(), "nothing half-written that a later run would trust"
