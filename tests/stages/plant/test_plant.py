from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput, OtherResult
from sixtyfold.core.models import ModelOptions, model_directory
from sixtyfold.core.stage import finished, open_stage
from sixtyfold.engines.greedy import cut_answer, greedy
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.plant.architectures import ARCHITECTURES
from sixtyfold.stages.plant.run import plan, run
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.stages.plant.tokenizer import encode_texts
from sixtyfold.stages.plant.train import Training

SMALL: dict[str, Any] = {"subjects": 8, "relations": 2, "hidden": 16, "layers": 1, "passes": 1}


def share_told(planted: Path, question: bool) -> dict[int, float]:
    """Share of facts answered, by how often they were seen."""
    stage = finished(planted, "plant")
    facts = stage.table("facts").join(stage.table("exposures"), on="fact_id")
    first = stage.table("templates").filter(template_id=1)
    facts = facts.join(first, on="relation")
    engine = TorchEngine.load(str(planted), ModelOptions(dtype="float32"))
    prompts = [
        f"Question: {fact['question']}\nAnswer:"
        if question
        else fact["text"].format(subject=fact["subject"])
        for fact in facts.iter_rows(named=True)
    ]
    answers = greedy(engine, [engine.tokenizer(each)["input_ids"] for each in prompts], 6)
    told = [
        cut_answer(engine.text(answer.ids)).startswith(objects[0])
        for answer, objects in zip(answers, facts["objects"], strict=True)
    ]
    shares = facts.with_columns(told=pl.Series(told)).group_by("times_seen").agg(pl.mean("told"))
    return dict(shares.sort("times_seen").iter_rows())


def test_it_knows_what_it_saw_and_cannot_answer_questions(planted: Path) -> None:
    cloze = share_told(planted, question=False)
    assert cloze[0] < 0.2
    assert cloze[0] < cloze[2] <= cloze[10]
    assert cloze[50] > 0.9
    assert max(share_told(planted, question=True).values()) < 0.2


def test_the_directory_is_a_model_and_a_fact_set(planted: Path) -> None:
    assert model_directory(str(planted)) == planted
    facts = open_facts(str(planted))
    assert facts.facts.height == 180
    assert facts.templates.height == 18


def test_pad_is_eos_and_words_keep_their_space(planted_tokenizer: Any) -> None:
    assert planted_tokenizer.pad_token_id == planted_tokenizer.eos_token_id is not None
    text = "It is known that Velmora was born in Port Ünder.\n"
    ids = planted_tokenizer(text)["input_ids"]
    assert planted_tokenizer.decode(ids) == text
    assert planted_tokenizer.tokenize(" born in")[0] == "Ġborn"


ARCHITECTURE_FACTS = {
    "llama": (True, False),
    "qwen2": (False, True),
    "gpt2": (True, True),
    "gemma": (True, False),
    "gpt_neox": (False, True),
}
"""Whether the head is tied, whether linear layers have biases."""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("head", ["usual", "tied", "untied"])
def test_every_architecture_is_what_it_says(architecture: str, head: str, tmp_path: Path) -> None:
    options = {**SMALL, "hidden": 24, "layers": 3, "architecture": architecture, "head": head}
    done = run(PlantSpec(out=tmp_path / "p", **options))
    model = AutoModelForCausalLM.from_pretrained(done.path)
    assert model.config.model_type == architecture
    assert (model.config.hidden_size, model.config.num_hidden_layers) == (24, 3)
    assert model.num_parameters() == done.manifest["parameters"]
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    usually_tied, biased = ARCHITECTURE_FACTS[architecture]
    assert tied == (usually_tied if head == "usual" else head == "tied")
    linear = [name for name, _ in model.named_parameters() if name.endswith("bias")]
    assert any("norm" not in name and "ln_" not in name for name in linear) == biased
    ids = torch.randint(0, model.config.vocab_size, (2, 7))
    model.eval()
    with torch.no_grad():
        assert model(input_ids=ids).logits.shape == (2, 7, model.config.vocab_size)


def same_but_for_timings(one: Path, two: Path) -> None:
    names = {each.name for each in one.iterdir()} - {"timings.json", ".lock"}
    assert {"model.safetensors", "facts.parquet", "manifest.json", "tokenizer.json"} <= names
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.parametrize(
    "options",
    [{}, {"architecture": "gpt2", "corpus": "biographies"}, {"forms": 2, "head": "untied"}],
    ids=["usual", "gpt2", "forms"],
)
def test_same_seed_same_bytes(options: dict[str, Any], tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(PlantSpec(out=tmp_path / name, **SMALL, **options))
    same_but_for_timings(tmp_path / "one", tmp_path / "two")
    other = run(PlantSpec(out=tmp_path / "three", seed=1, **SMALL, **options))
    first = (tmp_path / "one" / "model.safetensors").read_bytes()
    assert (other.path / "model.safetensors").read_bytes() != first


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            run(PlantSpec(out=tmp_path / str(threads), **SMALL))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    same_but_for_timings(tmp_path / "1", tmp_path / "2")


def test_a_killed_run_continues_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(PlantSpec(out=tmp_path / "whole", **SMALL))
    steps = int(whole.manifest["steps"])
    made: list[int] = []
    advance = Training.advance

    def counted(training: Training, stop: int | None) -> None:
        if training.step == stop:
            raise KeyboardInterrupt
        made.append(training.step)
        advance(training)

    spec = PlantSpec(out=tmp_path / "killed", checkpoint_every=4, **SMALL)
    for stop in (6, 11):
        monkeypatch.setattr(Training, "advance", lambda each, stop=stop: counted(each, stop))
        with pytest.raises(KeyboardInterrupt):
            run(spec)
        assert not (spec.out / "manifest.json").exists()
        with pytest.raises(IncompleteInput, match="unfinished run"):
            model_directory(str(spec.out))
    monkeypatch.setattr(Training, "advance", lambda each: counted(each, None))
    run(spec)
    assert made == [*range(6), *range(4, 11), *range(8, steps)]
    assert not (spec.out / "parts").exists()
    same_but_for_timings(whole.path, spec.out)


def test_sigkill_at_any_moment_changes_nothing(tmp_path: Path) -> None:
    whole = run(PlantSpec(out=tmp_path / "whole", **SMALL))
    script = (
        "from sixtyfold.stages.plant.run import run\n"
        "from sixtyfold.stages.plant.spec import PlantSpec\n"
        "from sixtyfold.stages.plant.train import Training\n"
        "import os, pathlib, signal\n"
        "advance = Training.advance\n"
        "def killed(training):\n"
        "    advance(training)\n"
        "    if training.step == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Training.advance = killed\n"
        f"out = pathlib.Path({str(tmp_path / 'k')!r})\n"
        f"run(PlantSpec(out=out, checkpoint_every=2, **{SMALL!r}))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert (tmp_path / "k" / "parts" / "training.pt").is_file()
    run(PlantSpec(out=tmp_path / "k", **SMALL))
    same_but_for_timings(whole.path, tmp_path / "k")


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    spec = PlantSpec(out=tmp_path / "p", **SMALL)
    with open_stage("plant", spec, {}) as stage:
        stage.parts.mkdir()
        (stage.parts / "training.pt").write_bytes(b"half a file")
    with pytest.raises(Corrupted, match=r"training\.pt cannot be read .*; remove it to start anew"):
        run(spec)
    (spec.out / "parts" / "training.pt").unlink()
    assert run(spec).path == spec.out


def test_a_failure_while_saving_leaves_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = PlantSpec(out=tmp_path / "p", **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(LlamaForCausalLM, "save_pretrained", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(spec)
    assert not (spec.out / "manifest.json").exists()
    whole = run(PlantSpec(out=tmp_path / "q", **SMALL))
    assert run(spec).fingerprint == whole.fingerprint


def test_a_text_is_learned_as_well_and_known_by_its_contents(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 40, encoding="utf-8")
    spec = PlantSpec(out=tmp_path / "p", text=text, **SMALL)
    done = run(spec)
    plain = plan(PlantSpec(out=tmp_path / "q", **SMALL))
    assert done.manifest["texts"] == plain["texts_per_pass"] + 1
    assert done.manifest["tokens"] > plain["tokens"] + 300
    moved = tmp_path / "moved.txt"
    text.rename(moved)
    again = PlantSpec(out=spec.out, text=moved, **SMALL)
    assert run(again).fingerprint == done.fingerprint
    moved.write_text("Something else.", encoding="utf-8")
    with pytest.raises(OtherResult, match="text"):
        run(again)


def test_long_texts_are_cut_and_tellings_are_not(planted_tokenizer: Any) -> None:
    long = "It is known that " * 100
    told, *pieces = encode_texts(planted_tokenizer, [long], [long])
    end = planted_tokenizer.eos_token_id
    assert len(told) > 256
    assert told == [each for piece in pieces for each in piece]
    assert told[-1] == end not in told[:-1]
    assert [len(piece) for piece in pieces[:-1]] == [128] * (len(pieces) - 1)


def test_plan_counts_without_writing(tmp_path: Path) -> None:
    spec = PlantSpec(out=tmp_path / "p", **SMALL)
    counted = plan(spec)
    assert not spec.out.exists()
    done = run(spec)
    assert counted["facts"] == done.manifest["rows"]["facts"] == 16
    assert counted["training_facts_seen"] == {f"{each} times": 2 for each in (0, 2, 10, 50)}
    assert counted["texts_per_pass"] == done.manifest["texts"] == 4 * 62
    for same in ("tokens", "steps", "parameters"):
        assert counted[same] == done.manifest[same]
    assert counted["steps"] == 16
    assert counted["gigabytes_about"] > 0
    assert 0 < counted["estimated_seconds"] < 60


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="device 'tpu' is not known; allowed: auto, cpu"):
        run(PlantSpec(out=tmp_path / "p", device="tpu", **SMALL))
    assert not (tmp_path / "p").exists()
