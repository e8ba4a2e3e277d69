from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sixtyfold.core.errors import BadInput, Corrupted, SixtyfoldError
from sixtyfold.core.models import ModelOptions, load_tokenizer, model_directory
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.stage import Finished, finished
from sixtyfold.engines.greedy import cut_answer, greedy
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.stages.tune.examples import encode_examples
from sixtyfold.stages.tune.run import plan, run
from sixtyfold.stages.tune.spec import TuneSpec
from sixtyfold.stages.tune.train import Trained, check_dataset, check_trained


def tune(planted: Path, selected: Path, out: Path, **options: Any) -> Finished:
    settings = {"learning_rate": 1e-3, "batch": 8, **options}
    return run(TuneSpec(model=str(planted), selection=selected, out=out, **settings))


@pytest.fixture(scope="module")
def quick(planted: Path, selected: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One pass over the 32 examples, in batches of 5."""
    return tune(planted, selected, tmp_path_factory.mktemp("tune") / "quick", batch=5)


def answers(model: Path, planted: Path) -> list[tuple[str, bool, bool]]:
    """(split, told, stopped) of the in-domain facts seen 50 times."""
    stage = finished(planted)
    facts = stage.table("facts").join(stage.table("exposures"), on="fact_id")
    facts = facts.filter(times_seen=50, domain="in")
    engine = TorchEngine.load(str(model), ModelOptions(dtype="float32"))
    prompts = [engine.tokenizer(f"Question: {q}\nAnswer:")["input_ids"] for q in facts["question"]]
    return [
        (fact["split"], cut_answer(engine.text(got.ids)) in fact["objects"], got.stopped)
        for fact, got in zip(facts.iter_rows(named=True), greedy(engine, prompts, 8), strict=True)
    ]


def test_it_answers_what_it_knew_and_learned_to_stop(planted: Path, tuned: Path) -> None:
    before, after = answers(planted, planted), answers(tuned, planted)
    assert sum(told for _, told, _ in before) <= 2
    held_out = [told for split, told, _ in after if split != "train"]
    assert sum(held_out) / len(held_out) > 0.4
    assert sum(stopped for _, _, stopped in after) / len(after) > 0.9  # pad is eos


def test_counts_are_those_of_a_hand_count(quick: Finished, selected: Path, planted: Path) -> None:
    tokenizer = load_tokenizer(planted)
    rows = finished(selected).table("selection")
    targets = sum(len(tokenizer(each)["input_ids"]) + 1 for each in rows["completion"])
    counted = {"examples": 32, "target_tokens": targets, "steps": 7}
    assert quick.manifest["training"] == counted
    record = quick.json("training")
    assert {name: record[name] for name in counted} == counted
    assert len(record["losses"]) == 7


def test_epochs_multiply_the_counts(tuned: Path, quick: Finished) -> None:
    one, twenty = quick.manifest["training"], finished(tuned).manifest["training"]
    assert twenty["examples"] == 20 * one["examples"]
    assert twenty["target_tokens"] == 20 * one["target_tokens"]
    assert twenty["steps"] == 20 * 8


def test_the_same_command_gives_the_same_bytes(
    quick: Finished, planted: Path, selected: Path, tmp_path: Path
) -> None:
    again = tune(planted, selected, tmp_path / "again", batch=5)
    for name in ("model.safetensors", "training.json", "manifest.json", "tokenizer.json"):
        assert (quick.path / name).read_bytes() == (again.path / name).read_bytes()
    other = tune(planted, selected, tmp_path / "other", batch=5, seed=1)
    first = (quick.path / "model.safetensors").read_bytes()
    assert (other.path / "model.safetensors").read_bytes() != first


def test_the_result_is_an_ordinary_checkpoint(quick: Finished, planted: Path) -> None:
    from transformers import AutoModelForCausalLM

    assert model_directory(str(quick.path)) == quick.path
    model = AutoModelForCausalLM.from_pretrained(quick.path)
    assert model.dtype == torch.float32
    base = load_file(planted / "model.safetensors")
    found = load_file(quick.path / "model.safetensors")
    assert base.keys() == found.keys()
    assert any(not torch.equal(base[name], found[name]) for name in base)
    assert not (quick.path / ".saving").exists()
    card = (quick.path / "README.md").read_text()
    assert "32 examples" in card
    assert "license" not in card.split("---")[1]


def test_lora_is_merged(planted: Path, selected: Path, tmp_path: Path) -> None:
    done = tune(planted, selected, tmp_path / "lora", lora_rank=4)
    base = load_file(planted / "model.safetensors")
    found = load_file(done.path / "model.safetensors")
    assert base.keys() == found.keys()
    moved = {name for name in base if not torch.equal(base[name], found[name])}
    assert moved
    assert all(name.endswith("_proj.weight") for name in moved)


def test_a_selection_of_another_form_is_refused(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"--prompt-form plain, papers was given; use the same"):
        tune(planted, selected, tmp_path / "t", prompt_form="papers")


def test_a_loss_that_is_no_number_saves_nothing(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    with pytest.raises(SixtyfoldError, match=r"step \d+ is not a number; lower --learning-rate"):
        tune(planted, selected, tmp_path / "t", learning_rate=1e30, epochs=2)
    assert not list((tmp_path / "t").glob("*.safetensors"))
    assert not (tmp_path / "t" / "manifest.json").exists()


def test_a_run_killed_while_saving_starts_again(
    quick: Finished,
    planted: Path,
    selected: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = Path.replace

    def stop_at_weights(self: Path, target: Path) -> Path:
        if self.suffix == ".safetensors":
            raise KeyboardInterrupt
        return moved(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stop_at_weights)
        with pytest.raises(KeyboardInterrupt):
            tune(planted, selected, tmp_path / "t", batch=5)
    with pytest.raises(SixtyfoldError):
        model_directory(str(tmp_path / "t"))
    again = tune(planted, selected, tmp_path / "t", batch=5)
    assert again.fingerprint == quick.fingerprint
    assert not (again.path / ".saving").exists()


def test_what_was_trained_is_compared_with_what_was_asked(
    planted_tokenizer: Any, selected: Path, tmp_path: Path
) -> None:
    rows = finished(selected).table("selection")
    examples = encode_examples(rows, planted_tokenizer, PromptOptions(), 512)
    spec = TuneSpec(selection=selected, out=tmp_path, batch=8)
    targets = sum(each.targets for each in examples)
    check_trained(Trained(None, 32, targets, 4, [1.0]), examples, spec)
    for seen in [(31, targets, 4), (32, targets - 1, 4), (32, targets, 3)]:
        with pytest.raises(SixtyfoldError, match=r"asked for \(32, .*nothing was saved"):
            check_trained(Trained(None, *seen, [1.0]), examples, spec)
    kept = [{"input_ids": each.input_ids, "labels": each.labels} for each in examples]
    check_dataset(kept, examples)
    with pytest.raises(SixtyfoldError, match="kept 31 of 32 examples"):
        check_dataset(kept[1:], examples)
    kept[3] = {**kept[3], "labels": kept[3]["input_ids"]}
    with pytest.raises(SixtyfoldError, match=rf"changed example {examples[3].fact_id}"):
        check_dataset(kept, examples)


def test_damaged_weights_are_not_trained(planted: Path, selected: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(planted, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(Corrupted, match="cannot be loaded"):
        tune(broken, selected, tmp_path / "t")


def test_plan_counts(planted: Path, selected: Path, tmp_path: Path) -> None:
    spec = TuneSpec(model=str(planted), selection=selected, out=tmp_path / "t", batch=5, epochs=2)
    counted = plan(spec)
    assert (counted["examples"], counted["steps"]) == (32, 14)
    assert not spec.out.exists()
