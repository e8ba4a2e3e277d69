"""Sections that are hard to see in a small run: many relations, tokens, hostile names."""

from __future__ import annotations

import polars as pl
import pytest

from made_up_run import HOSTILE, build_run
from sixtyfold.reporting.fact_rows import lost_and_gained
from sixtyfold.reporting.packed import unpacked
from sixtyfold.reporting.repeat import inputs, versions
from sixtyfold.reporting.results import Results, read_results
from sixtyfold.reporting.sections import MOST_RELATIONS, happened, known
from sixtyfold.reporting.weight_sections import moved


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return read_results(build_run(tmp_path_factory.mktemp("sections") / "run"))


def test_the_tokens_that_moved_most(results: Results) -> None:
    tokens = pl.DataFrame(
        {"direction": ["up", "down"], "token": [5, 6], "text": ["</script>\u202e", " the"],
         "mean_change": [0.2, -0.1], "mean_base": [0.05, 0.3], "mean_tuned": [0.25, 0.2],
         "up": [20, 1], "down": [0, 17]}
    )  # fmt: skip
    tables = {table.caption: table for table in moved(results._replace(tokens=tokens)).tables}
    rows = tables["Tokens whose probability moved most, at the first answer token"].rows
    assert rows == [
        ["up", "“</script>⟨U+202E⟩”", "5.00%", "25.00%", "+20.00", "20", "0"],
        ["down", "“ the”", "30.00%", "20.00%", "−10.00", "1", "17"],
    ]


def test_drift_is_told_by_quantiles_whatever_the_number_of_facts(results: Results) -> None:
    assert results.drift is not None
    many = pl.concat([results.drift] * 200)
    (figure,) = (each for each in moved(results._replace(drift=many)).figures
                 if each.name == "drift")  # fmt: skip
    rows = figure.chart["data"]["values"] if "data" in figure.chart else []
    assert len(rows) == 3
    assert all(row["least"] <= row["quarter"] <= row["median"] <= row["upper"] <= row["most"]
               for row in rows)  # fmt: skip


def test_a_chart_of_relations_stays_readable_and_the_table_holds_them_all(
    results: Results,
) -> None:
    assert results.probed is not None
    copies = 30

    def grown(table: pl.DataFrame) -> pl.DataFrame:
        return pl.concat(
            table.with_columns(pl.col("fact_id") + f"-{n}", relation=pl.col("relation") + f" {n}")
            for n in range(copies)
        )

    answers = {name: grown(table) for name, table in results.answers.items()}
    large = results._replace(answers=answers, probed=grown(results.probed))
    by_relation = happened(large).figures[-1]
    shown = {row["group"] for row in by_relation.chart["data"]["values"]}
    assert len(shown) == MOST_RELATIONS
    assert f"the {MOST_RELATIONS} of 90 relations" in by_relation.caption
    assert len(by_relation.data.rows) == 90 * len(answers)
    levels = known(large).figures[-1]
    assert len({row["relation"] for row in levels.chart["data"]["values"]}) == MOST_RELATIONS
    assert f"the {MOST_RELATIONS} of 90 largest relations" in levels.caption


def test_accuracy_by_level_is_told_by_domain(results: Results) -> None:
    names = [figure.name for figure in happened(results).figures]
    assert names == ["by-level-in", "by-level-out", "by-relation"]
    inside = happened(results).figures[0]
    assert {row["n"] for row in inside.chart["data"]["values"]} == {20}


def test_two_models_are_compared_without_a_third(results: Results) -> None:
    answers = {name: results.answers[name] for name in ("tuned", "restored")}
    section = lost_and_gained(results._replace(answers=answers))
    rows = unpacked(section.long_tables[0].packed)
    assert set(rows["state"]) <= {"lost", "gained", "kept", "never"}
    assert "base" not in rows
    assert rows["state"][0] == "lost"


def test_versions_and_inputs_name_what_differs() -> None:
    manifests = {
        "probe": {"packages": {"torch": "2.1"}, "inputs": {"model": "aa", "facts": "bb"}},
        "tuned": {"packages": {"torch": "2.2"}, "inputs": {"model": "aa"}},
        HOSTILE: {"packages": {}, "inputs": {}},
    }
    assert versions(manifests).rows == [["torch", "2.1, 2.2"]]
    assert inputs(manifests).rows == [["facts", "bb", "probe"], ["model", "aa", "probe, tuned"]]
