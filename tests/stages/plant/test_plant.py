from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.models import ModelOptions, model_directory
from sixtyfold.core.stage import finished
from sixtyfold.engines.greedy import cut_answer, greedy
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.plant.run import plan, run
from sixtyfold.stages.plant.spec import PlantSpec

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


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(PlantSpec(out=tmp_path / name, **SMALL))
    names = {each.name for each in (tmp_path / "one").iterdir()} - {"timings.json", ".lock"}
    assert {"model.safetensors", "facts.parquet", "manifest.json", "tokenizer.json"} <= names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    other = run(PlantSpec(out=tmp_path / "three", seed=1, **SMALL))
    first = (tmp_path / "one" / "model.safetensors").read_bytes()
    assert (other.path / "model.safetensors").read_bytes() != first


def test_a_killed_run_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import LlamaForCausalLM

    spec = PlantSpec(out=tmp_path / "p", **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(LlamaForCausalLM, "save_pretrained", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(spec)
    assert not (spec.out / "manifest.json").exists()
    whole = run(PlantSpec(out=tmp_path / "q", **SMALL))
    assert run(spec).fingerprint == whole.fingerprint


def test_plan_counts_without_writing(tmp_path: Path) -> None:
    spec = PlantSpec(out=tmp_path / "p", **SMALL)
    counted = plan(spec)
    assert counted == {"facts": 16, "sentences": 4 * 62, "steps": 16}
    assert not spec.out.exists()
