from __future__ import annotations

import math
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from sixtyfold.core.errors import BadInput, Corrupted, SixtyfoldError
from sixtyfold.core.models import ModelOptions, load_tokenizer, model_directory
from sixtyfold.core.stage import Finished, finished
from sixtyfold.engines.greedy import cut_answer, greedy
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.stages.tune.run import plan, run
from sixtyfold.stages.tune.spec import TuneSpec
from sixtyfold.stages.tune.weights import merged_anew


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
    assert quick.manifest["training"] == {**counted, "processes": 1, "sharded": False}
    record = quick.json("training")
    assert {name: record[name] for name in counted} == counted
    assert len(record["losses"]) == len(record["learning_rates"]) == 7
    assert [len(each) for each in record["examples_of_steps"]] == [5] * 6 + [2]
    assert sorted(chain.from_iterable(record["examples_of_steps"])) == sorted(rows["fact_id"])
    assert record["end_token"] == tokenizer.eos_token
    assert record["settings"]["optim"] == "adamw_torch_fused"
    assert record["settings"]["weight_decay"] == 0


def test_the_rate_falls_by_a_cosine(quick: Finished) -> None:
    rates = quick.json("training")["learning_rates"]
    expected = [1e-3 * (1 + math.cos(math.pi * step / 7)) / 2 for step in range(7)]
    assert rates == pytest.approx(expected)


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


def test_damaged_weights_are_not_trained(planted: Path, selected: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(planted, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(Corrupted, match="cannot be loaded"):
        tune(broken, selected, tmp_path / "t")


def test_plan_counts(planted: Path, selected: Path, tmp_path: Path) -> None:
    spec = TuneSpec(model=str(planted), selection=selected, out=tmp_path / "t", batch=5, epochs=2)
    counted = plan(spec)
    assert (counted["examples"], counted["examples_seen"], counted["steps"]) == (32, 64, 14)
    assert counted["learning_rate"] == 1e-4
    assert counted["gigabytes_needed"] < counted["gigabytes_free"]
    assert not spec.out.exists()


def test_as_many_steps_as_asked_for_whatever_the_size(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    """32 examples in batches of 5 make 7 steps a pass; 10 steps are a pass and 15 examples."""
    done = tune(planted, selected, tmp_path / "t", batch=5, max_steps=10)
    training = done.manifest["training"]
    assert (training["steps"], training["examples"]) == (10, 32 + 15)
    assert done.manifest["spec"]["epochs"] is None
    seen = done.json("training")["examples_of_steps"]
    assert len(set(chain.from_iterable(seen[:7]))) == 32
    assert len(set(chain.from_iterable(seen[7:]))) == 15
    spec = TuneSpec(model=str(planted), selection=selected, out=tmp_path, batch=5, max_steps=10)
    assert plan(spec)["examples_seen"] == 47


def test_the_preset_is_recorded_as_it_was_used(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t"
    spec = TuneSpec(model=str(planted), selection=selected, out=out, preset="ye2025", batch=16)
    recorded = run(spec).manifest["spec"]
    found = [recorded[name] for name in ("preset", "learning_rate", "batch", "epochs")]
    assert found == ["ye2025", 1e-5, 16, 1]
    assert TuneSpec.parse({**recorded, "out": out}) == spec


def test_callbacks_are_called(planted: Path, selected: Path, tmp_path: Path) -> None:
    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.seen: list[int] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            assert not isinstance(more["model"], torch.nn.parallel.DistributedDataParallel)
            self.seen.append(state.global_step)

    watch = Watch()
    run(TuneSpec(model=str(planted), selection=selected, out=tmp_path / "t"), [watch])
    assert watch.seen == [1, 2, 3, 4]


def test_the_adapter_is_kept_beside_the_merged_model(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    """What was merged in memory is what the saved adapter makes of the base."""
    done = tune(planted, selected, tmp_path / "t", lora_rank=4, keep_adapter=True)
    assert (done.path / "adapter" / "adapter_config.json").is_file()
    again = merged_anew(planted, done.path / "adapter")
    found = load_file(done.path / "model.safetensors")
    for name, weight in again.state_dict().items():
        if name in found:
            torch.testing.assert_close(weight, found[name], rtol=0, atol=0)
    plain = tune(planted, selected, tmp_path / "plain", lora_rank=4)
    assert not (plain.path / "adapter").exists()
    bytes_of = [(each.path / "model.safetensors").read_bytes() for each in (done, plain)]
    assert bytes_of[0] == bytes_of[1]
