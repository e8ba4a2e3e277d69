"""Questions asked live in the browser, answered by tiny models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_store import BASE_MODEL, RUNS, build_store
from playwright.sync_api import expect
from serving import Watched, served

from sixtyfold.core.models import ModelOptions, release_model
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.explorer.live import Reply, Way, answered
from sixtyfold.stages.plant.tokenizer import train_tokenizer
from tiny_models import tiny_model

pytest_plugins = ("explorer_fixtures",)

QUESTION = "What is the river of Subject 3?"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two tiny models with random weights, told apart by what they answer."""
    tokenizer = train_tokenizer([f"{QUESTION} Question: Answer:"] * 9, 300)
    folder = tmp_path_factory.mktemp("tiny")
    return {name: tiny_model("llama", folder / name, tokenizer, seed=seed)
            for seed, name in enumerate(("base", "restored"))}  # fmt: skip


@pytest.fixture(scope="module")
def address(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store whose tuned weights are gone, served with a restored model besides."""
    place = tmp_path_factory.mktemp("live") / "store"
    store = build_store(place, runs=RUNS, base_model=str(models["base"]))
    with served("--store", str(store.root), "--model", f"restored={models['restored']}") as found:
        yield found


def said(model: Path) -> Reply:
    """What a model says, asked without the page."""
    release_model()
    found = answered(TorchEngine.load(str(model), ModelOptions()), QUESTION, Way())
    release_model()
    return found


def test_models_answer_side_by_side(
    watched: Watched, address: str, models: dict[str, Path]
) -> None:
    page = watched.page
    page.goto(f"{address}ask?id=river-test-000003&a={'1' * 16}&b={'2' * 16}")
    expect(page.get_by_label("Question")).to_have_value(QUESTION)
    expect(page.get_by_text("Accepted: Answer 3; Alias 3")).to_be_visible()
    expect(page.get_by_text("its weights were removed when the study was done")).to_be_visible()
    page.get_by_role("button", name="Ask").click()
    shown = page.locator(".answers .answer")
    expect(shown).to_have_count(2, timeout=120_000)
    replies = [said(models[name]) for name in ("base", "restored")]
    assert shown.all_inner_texts() == [reply.answer or "(nothing)" for reply in replies]
    assert replies[0].answer != replies[1].answer
    first = page.locator(".answers .q-table tbody tr").first
    expect(first).to_contain_text(repr(replies[0].first[0][0]))
    expect(first).to_contain_text(f"{100 * replies[0].first[0][1]:.1f}%")
    expect(page.get_by_text("✗ wrong")).to_have_count(2)


def test_what_cannot_be_asked_is_told_in_one_line(watched: Watched, address: str) -> None:
    page = watched.page
    page.goto(f"{address}ask")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_have_text("write a question and choose at least one model")
    page.get_by_label("Question").fill("Who?")
    page.get_by_role("combobox", name="Asked").click()
    page.get_by_role("option", name="the model's chat template").click()
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert").first).to_contain_text("has no chat template")


def test_base_model_is_named(address: str, watched: Watched) -> None:
    watched.page.goto(f"{address}ask?a={'1' * 16}&b={'2' * 16}")
    chosen = watched.page.locator(".q-chip")
    assert BASE_MODEL not in " ".join(chosen.all_inner_texts())
    expect(chosen.first).to_contain_text("m (base)")
