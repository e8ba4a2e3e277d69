"""Questions asked of models, without a page."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import ModelOptions, release_model
from sixtyfold.core.prompts import Shot
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.explorer.catalogue import Askable
from sixtyfold.explorer.live import LONGEST_QUESTION, Live, Way, answered
from sixtyfold.stages.plant.tokenizer import train_tokenizer
from tiny_models import tiny_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Askable]:
    """Two tiny models, one that is gone, and one that never was."""
    tokenizer = train_tokenizer(["Question: Who is it?\nAnswer:"] * 9, 300)
    folder = tmp_path_factory.mktemp("tiny")
    found = {}
    for seed in range(2):
        place = tiny_model("llama", folder / str(seed), tokenizer, seed=seed)
        found[f"m{seed}"] = Askable(f"m{seed}", str(place), ModelOptions(dtype="float32"))
    gone = Askable("gone", str(folder / "gone"), ModelOptions(), "its weights were removed")
    nowhere = Askable("nowhere", str(folder / "nowhere"), ModelOptions())
    return {**found, "gone": gone, "nowhere": nowhere}


@pytest.fixture
def live(models: dict[str, Askable]) -> Live:
    return Live(models)


def engine(model: Askable) -> TorchEngine:
    release_model()
    return TorchEngine.load(model.reference, model.options)


def test_models_are_asked_in_turn_in_one_thread(live: Live, models: dict[str, Askable]) -> None:
    replies = [live.ask(name, "Who is it?", Way()).result() for name in ("m0", "m1", "m0")]
    assert [reply.problem for reply in replies] == [None] * 3
    assert replies[0].answer == replies[2].answer
    assert replies[0].first == replies[2].first
    assert replies[0].first != replies[1].first
    assert replies[0].answer == answered(engine(models["m0"]), "Who is it?", Way()).answer
    assert [each.name for each in threading.enumerate()].count("model_0") >= 1
    live.close()


def test_first_tokens_are_the_likeliest_with_their_probabilities(
    models: dict[str, Askable],
) -> None:
    import torch

    loaded = engine(models["m0"])
    reply = answered(loaded, "Who is it?", Way())
    ids = torch.tensor([loaded.tokenizer("Question: Who is it?\nAnswer:")["input_ids"]])
    with torch.inference_mode():
        shares = torch.softmax(loaded.model(ids).logits[0, -1].float(), -1)
    likely = shares.topk(5)
    assert [share for _, share in reply.first] == pytest.approx(likely.values.tolist(), abs=1e-4)
    decoded = [loaded.tokenizer.decode([each]) for each in likely.indices.tolist()]
    assert [token for token, _ in reply.first] == decoded


def test_worked_examples_stand_in_front(models: dict[str, Askable]) -> None:
    loaded = engine(models["m0"])
    plain = answered(loaded, "Who is it?", Way())
    shots = answered(loaded, "Who is it?", Way(shots=(Shot("Who is it?", "It"),)))
    assert plain.first != shots.first


@pytest.mark.parametrize("question", ["", "  ", "x" * (LONGEST_QUESTION + 1)])
def test_a_question_has_a_length(models: dict[str, Askable], question: str) -> None:
    with pytest.raises(BadInput, match=f"has {len(question)} characters; allowed: 1 to 2000"):
        answered(engine(models["m0"]), question, Way())


def test_a_prompt_fits_the_model(models: dict[str, Askable]) -> None:
    with pytest.raises(BadInput, match="the model takes 256 with the answer; ask something"):
        answered(engine(models["m0"]), "ß" * 300, Way())


def test_what_cannot_be_asked_is_one_line(live: Live) -> None:
    assert live.ask("gone", "Who?", Way()).result().problem == "its weights were removed"
    nowhere = live.ask("nowhere", "Who?", Way()).result().problem or ""
    assert "there is no model directory" in nowhere
    chat = live.ask("m0", "Who?", Way(form="chat")).result().problem or ""
    assert "has no chat template" in chat
    assert live.ask("m1", "Who?", Way()).result().problem is None
    live.close()


def test_a_template_that_fails_is_one_line(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["Who is it?"] * 9, 300)
    tokenizer.chat_template = "{{ raise_exception('no\\nquestions') }}"
    place = tiny_model("llama", tmp_path / "m", tokenizer)
    asked = Live({"m": Askable("m", str(place), ModelOptions())})
    problem = asked.ask("m", "Who?", Way(form="chat")).result().problem
    assert problem == "the model failed (TemplateError: no questions)"
    assert asked.ask("m", "Who?", Way()).result().problem is None
    asked.close()


def test_a_model_that_does_not_fit_is_not_loaded(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Little:
        available = 1000

    monkeypatch.setattr(psutil, "virtual_memory", Little)
    problem = live.ask("m0", "Who?", Way()).result().problem or ""
    assert problem.startswith("m0 needs about 0.0 GB and 0.0 GB are free; close something else")
    live.close()


def test_a_change_of_models_frees_the_first(
    live: Live, monkeypatch: pytest.MonkeyPatch, models: dict[str, Askable]
) -> None:
    from sixtyfold.core import models as core_models

    held: list[int] = []
    real = core_models.read_model

    def watched(directory: Path, **more: object) -> object:
        held.append(core_models._load.cache_info().currsize)
        return real(directory, **more)

    monkeypatch.setattr(core_models, "read_model", watched)
    release_model()
    for name in ("m0", "m0", "m1", "m0"):
        assert live.ask(name, "Who is it?", Way()).result().problem is None
    assert held == [0, 0, 0]
    live.close()
