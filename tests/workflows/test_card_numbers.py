"""Numbers in the cards of checkpoints are those of the evaluations they come from."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from huggingface_hub import ModelCard

from made_up_run import arm, build_run, stage
from sixtyfold.core.accuracy import accuracy
from sixtyfold.core.model_card import Card, Section, not_measured, write_card
from sixtyfold.core.model_origin import Origin
from sixtyfold.core.stage import finished
from sixtyfold.workflows.card_numbers import (
    put_chosen_numbers,
    put_run_numbers,
    put_search_numbers,
)
from sixtyfold.workflows.summary import summarise


def write_some_card(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    sections = [not_measured("sixtyfold evaluate"), Section("How to load", ["So."])]
    write_card(folder, Card("A model", [], [Origin("base", None, {}, "f0")], ["sft"], sections))
    return folder


def numbers(folder: Path) -> tuple[ModelCard, dict[tuple[str, str], list[str]]]:
    """A card, and its table of numbers: (model, facts) to percent, interval and n."""
    card = ModelCard.load(folder / "README.md")
    rows = [line.strip("| ").split(" | ") for line in card.text.splitlines() if line[:2] == "| "]
    return card, {(model, facts): rest for model, facts, *rest in rows[2:]}


def test_a_run_puts_its_test_numbers_into_both_cards(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run")
    for name in ("tuned", "restored"):
        write_some_card(run / name)
    summary = summarise(run)
    put_run_numbers(run, summary)
    card, found = numbers(run / "tuned")
    for label, key in (("this model", "tuned"), ("restored", "restored"), ("base, plain", "base")):
        for words, domain in (("in-domain, test", "in"), ("out-of-domain, test", "out")):
            told = summary[key][domain]["macro_relation"]
            bounds = f"{100 * told['low']:.1f}–{100 * told['high']:.1f}"
            assert found[label, words] == [f"{100 * told['value']:.1f}", bounds, str(told["n"])]
    assert found["this model", "in-domain, test"][0] == "70.0"  # (8 + 6) of 20
    assert [each.metric_value for each in card.data.eval_results] == [70.0, 30.0]
    counts = summary["transitions"]["base_to_tuned"]
    assert f"kept {counts['kept']}, lost {counts['lost']}" in card.text
    assert "How to load" in card.text
    _, found = numbers(run / "restored")
    assert found["this model", "in-domain, test"][0] == "70.0"  # (9 + 5) of 20
    assert ("tuned", "in-domain, test") in found


def test_a_run_without_a_repair_leaves_its_card_alone(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run")
    write_some_card(run / "tuned")
    put_run_numbers(run, {**summarise(run), "restored": None})
    assert not (run / "restored").exists()
    assert numbers(run / "tuned")[1]


@pytest.mark.parametrize("family", ["relative", "tuned"])
def test_a_search_tells_the_arm_that_was_chosen(family: str, tmp_path: Path) -> None:
    arms = [arm("base", -0.3, -0.3, 0.01), arm("tuned", None, 0.0, 1.0),
            {**arm("relative", 0.02, 0.01, 0.3), "accuracy": 0.75, "n": 80}]  # fmt: skip
    chosen = {"family": family, "accuracy": 0.9, "low": 0.8, "high": 1.0, "n": 50}
    path = stage(tmp_path / "search", "search", {"test": pl.DataFrame(arms)}, {"chosen": chosen})
    put_search_numbers(finished(path), write_some_card(tmp_path / "restored"))
    _, found = numbers(tmp_path / "restored")
    expected = ["75.0", "50.0–70.0", "80"] if family == "relative" else ["60.0", "50.0–70.0", "100"]
    assert found["this model", "in-domain, test"] == expected
    assert ("base", "in-domain, test") in found
    assert not any("relative" in each for each, _ in found)


def test_a_search_without_a_test_says_that_its_number_is_too_good(tmp_path: Path) -> None:
    chosen = {"family": "relative", "accuracy": 0.9, "low": 0.8, "high": 1.0, "n": 50}
    path = stage(tmp_path / "search", "search", {}, {"chosen": chosen})
    put_search_numbers(finished(path), write_some_card(tmp_path / "restored"))
    card, found = numbers(tmp_path / "restored")
    assert found == {("this model", "judged, dev"): ["90.0", "80.0–100.0", "50"]}
    assert "too good" in card.text


def test_a_training_chosen_among_several_tells_its_own_answers(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run")
    answers = pl.concat(
        finished(run / "answers" / f"tuned-{split}").table("answers") for split in ("dev", "test")
    )
    put_chosen_numbers(write_some_card(tmp_path / "tuned"), answers)
    card, found = numbers(tmp_path / "tuned")
    dev = accuracy(answers.filter(pl.col("split") == "dev"), "in").macro_relation
    assert dev is not None
    assert found["this model", "in-domain, dev"][0] == f"{100 * dev.value:.1f}"
    assert len(found) == 4
    assert "chosen on these facts" in card.text
