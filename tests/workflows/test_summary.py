"""The summary of a run: schema of design §7, hand numbers, the printed table."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from made_up_run import CHOSEN, RIGHT, answers, build_run, facts, stage, write_answers
from sixtyfold.core.errors import IncompleteInput
from sixtyfold.core.paired_tests import stratified_difference
from sixtyfold.core.statistics import macro, wilson
from sixtyfold.workflows.console import percent, print_summary
from sixtyfold.workflows.summary import best_prompt, summarise

MEASURES = ["macro_relation", "macro_level", "micro", "exact", "ended"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_run(tmp_path_factory.mktemp("made-up") / "run")


@pytest.fixture(scope="module")
def summary(run: Path) -> dict[str, Any]:
    return summarise(run)


def test_numbers_by_hand(summary: dict[str, Any]) -> None:
    inside, outside = summary["tuned"]["in"], summary["tuned"]["out"]
    assert list(inside) == MEASURES
    assert inside["macro_relation"] == macro([8, 6], [10, 10]).rounded()  # type: ignore[union-attr]
    assert inside["micro"] == wilson(14, 20).rounded()  # type: ignore[union-attr]
    assert inside["exact"]["value"] == 0.6
    assert inside["ended"]["value"] == 0.9
    assert inside["macro_level"] is None
    assert outside["macro_relation"]["value"] == 0.3
    assert summary["base"]["in"]["macro_relation"]["value"] == 0.1


def test_gain_is_paired_and_over_the_best_prompt(summary: dict[str, Any]) -> None:
    assert summary["best_prompt"] == "base_few_shot"
    found = stratified_difference([2, 2], [0, 0], [10, 10])
    assert found is not None
    assert summary["gain_over_best_prompt"]["in"] == found.estimate.rounded()
    assert summary["gain_over_best_prompt"]["out"]["value"] == 0


def test_transitions(summary: dict[str, Any]) -> None:
    # in: 6 + 4 kept, 2 + 2 gained, 2 + 4 never; out: 3 kept, 7 never
    found = summary["transitions"]["base_to_tuned"]
    assert {key: found[key] for key in ("kept", "lost", "gained", "never")} == {
        "kept": 13, "lost": 0, "gained": 4, "never": 13,
    }  # fmt: skip
    assert found["out"] == {"kept": 3, "lost": 0, "gained": 0, "never": 7}
    # capital 8 -> 9, currency 6 -> 5, river 3 -> 4
    back = summary["transitions"]["tuned_to_restored"]
    assert (back["kept"], back["lost"], back["gained"]) == (16, 1, 2)


def test_the_rest_of_the_schema(summary: dict[str, Any]) -> None:
    assert summary["base_chat"] is None
    assert summary["levels"] == [6, 6, 6, 6, 6]
    assert summary["level_mass"] == [6.0] * 5
    assert summary["levels_merged"] == [[0, 1, 2, 3, 4]]
    assert summary["chosen"]["size"] == 60
    assert summary["chosen"]["levels"] == [1, 2, 3]
    restore = summary["chosen"]["restore"]
    assert (restore["family"], restore["percent"]) == CHOSEN
    assert summary["majority"]["in"]["value"] == 0.5
    json.dumps(summary, allow_nan=False)


def test_best_prompt_is_chosen_on_dev_not_on_test(tmp_path: Path) -> None:
    table = facts()
    worse, better = RIGHT["base"], RIGHT["base-fewshot"]
    for name, (dev, test) in {"base": (better, worse), "base-fewshot": (worse, better)}.items():
        for split, right in (("dev", dev), ("test", test)):
            frame = answers(table, right, split)
            stage(tmp_path / "answers" / f"{name}-{split}", "evaluate", {"answers": frame})
    assert best_prompt(tmp_path) == "base"


def test_several_prompts_without_dev_choose_nothing(tmp_path: Path) -> None:
    write_answers(tmp_path, facts(), {key: RIGHT[key] for key in ("base", "base-fewshot", "tuned")})
    for path in (tmp_path / "answers").glob("*-dev"):
        shutil.rmtree(path)
    found = summarise(tmp_path)
    assert found["best_prompt"] is None
    assert found["gain_over_best_prompt"] is None
    assert found["transitions"]["base_to_tuned"] is None


def test_base_and_tuned_alone(tmp_path: Path) -> None:
    """The post-mortem path: two models, no probe, no selection, no dev answers needed."""
    write_answers(tmp_path, facts(), {key: RIGHT[key] for key in ("base", "tuned")})
    for path in (tmp_path / "answers").glob("*-dev"):
        shutil.rmtree(path)
    found = summarise(tmp_path)
    assert found["best_prompt"] == "base"
    assert found["gain_over_best_prompt"]["in"]["value"] == 0.6
    assert found["restored"] is None
    assert found["levels"] is None
    assert found["majority"] is None
    assert found["transitions"]["tuned_to_restored"] is None


def test_an_unfinished_stage_does_not_count(tmp_path: Path) -> None:
    write_answers(tmp_path, facts(), {key: RIGHT[key] for key in ("base", "tuned")})
    (tmp_path / "answers" / "tuned-test" / "manifest.json").unlink()
    assert summarise(tmp_path)["tuned"] is None


def test_no_answers_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IncompleteInput, match="holds no finished answers/NAME-test"):
        summarise(tmp_path)


def test_enough_facts_leave_levels_unmerged(tmp_path: Path) -> None:
    found = summarise(build_run(tmp_path / "run", per_relation=100, weights=False))
    assert found["levels"] == [60] * 5
    assert found["levels_merged"] is None
    # in-domain 40 facts per level; tuned answers facts 0..7 and 0..5 of 100: 3+3+2+2+2... by level
    by_level = [sum(i % 5 == level for right in (8, 6) for i in range(right)) for level in range(5)]
    expected = macro(by_level, [40] * 5)
    assert expected is not None
    assert found["tuned"]["in"]["macro_level"] == expected.rounded()


def printed(summary: dict[str, Any]) -> str:
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=160))
    return out.getvalue()


def test_printed_numbers_are_the_summary_s(summary: dict[str, Any]) -> None:
    text = printed(summary)
    for model in ("base", "base_few_shot", "tuned", "restored"):
        for domain in ("in", "out"):
            assert percent(summary[model][domain]["macro_relation"]) in text
    assert "tuned              │ 70.0 (47.0–86.0)" in text
    assert "+20.0 (−" in text
    assert "kept 13, lost 0, gained 4, never 13" in text
    assert "level 0: 6, level 1: 6" in text
    assert "merged: 0+1+2+3+4" in text
    assert "base, chat" not in text


def test_a_domain_without_facts_is_not_shown(summary: dict[str, Any]) -> None:
    alone = json.loads(json.dumps(summary))
    for key in ("base", "base_few_shot", "tuned", "restored"):
        alone[key]["out"]["macro_relation"] = None
    alone["gain_over_best_prompt"]["out"] = None
    text = printed(alone)
    assert "out-of-domain" in printed(summary)
    assert "out-of-domain" not in text
    assert "in-domain" in text
    assert "most common answer │" in text


def test_a_changed_number_changes_the_print(summary: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(summary))
    changed["tuned"]["in"]["macro_relation"]["value"] = 0.123
    assert "12.3 (" in printed(changed)


def test_print_fits_a_terminal_and_a_log(summary: dict[str, Any]) -> None:
    out = io.StringIO()
    print_summary(summary, Console(file=out, width=80))
    assert max(len(line) for line in out.getvalue().splitlines()) <= 80
    assert "\x1b" not in out.getvalue()


def test_levels_count_probed_test_facts_alone(run: Path) -> None:
    probed = pl.read_parquet(run / "probe" / "probe.parquet")
    assert probed.height == 80  # train and dev were probed, too
    assert sum(summarise(run)["levels"]) == 30
