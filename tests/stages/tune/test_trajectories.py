"""The same training, cut up otherwise: losses and weights are the same but for rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from sixtyfold.core.stage import Finished
from sixtyfold.stages.tune.run import run
from sixtyfold.stages.tune.spec import TuneSpec


def tune(planted: Path, selected: Path, out: Path, **options: Any) -> Finished:
    settings = {"learning_rate": 1e-3, "batch": 12, "epochs": 2, "dtype": "float32", **options}
    return run(TuneSpec(model=str(planted), selection=selected, out=out, **settings))


@pytest.fixture(scope="module")
def whole(planted: Path, selected: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """32 examples in batches of 12: the last has 8."""
    return tune(planted, selected, tmp_path_factory.mktemp("whole") / "t")


def alike(one: Finished, other: Finished, tolerance: float = 1e-4) -> None:
    """Weights move by about 1e-3 a step here; they may differ by a tenth of that in all."""
    first, second = one.json("training"), other.json("training")
    assert first["losses"] == pytest.approx(second["losses"], rel=1e-4)
    assert first["examples_of_steps"] == second["examples_of_steps"]
    weights, others = (load_file(each.path / "model.safetensors") for each in (one, other))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_a_batch_in_parts(
    whole: Finished, planted: Path, selected: Path, tmp_path: Path, parts: int
) -> None:
    """Losses are means over the tokens of the whole batch, however long the parts are."""
    alike(tune(planted, selected, tmp_path / "t", accumulate=parts), whole)


def test_a_lora_in_parts(planted: Path, selected: Path, tmp_path: Path) -> None:
    one = tune(planted, selected, tmp_path / "one", lora_rank=4)
    alike(tune(planted, selected, tmp_path / "parts", lora_rank=4, accumulate=3), one)


def test_padding_changes_nothing(
    whole: Finished,
    planted: Path,
    selected: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sixtyfold.stages.tune import trainer

    class Wider(trainer.CheckedCollator):
        def __init__(self, collate: Any, examples: Any) -> None:
            collate.pad_to_multiple_of = 64
            super().__init__(collate, examples)

        def __call__(self, rows: list[dict[str, Any]]) -> Any:
            batch = super().__call__(rows)
            assert batch["input_ids"].shape[1] == 64
            return batch

    monkeypatch.setattr(trainer, "CheckedCollator", Wider)
    alike(tune(planted, selected, tmp_path / "t"), whole)


def test_it_is_the_trajectory_of_trl_itself(
    whole: Finished, planted: Path, selected: Path, tmp_path: Path
) -> None:
    """The same 20 lines anybody would write, on prompts and completions as text."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = pl.read_parquet(selected / "selection.parquet")
    tokenizer = AutoTokenizer.from_pretrained(planted)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(planted, dtype=torch.float32),
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict(
            {"prompt": rows["prompt"].to_list(), "completion": rows["completion"].to_list()}
        ),
        args=SFTConfig(
            output_dir=str(tmp_path), per_device_train_batch_size=12, num_train_epochs=2,
            learning_rate=1e-3, lr_scheduler_type="cosine", bf16=False, use_cpu=True,
            gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to=[],
            seed=0, data_seed=0, completion_only_loss=True, disable_tqdm=True,
        ),
    )  # fmt: skip
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses == pytest.approx(whole.json("training")["losses"], rel=1e-4)
    weights = load_file(whole.path / "model.safetensors")
    for name, weight in trainer.model.state_dict().items():
        if name in weights:
            torch.testing.assert_close(weight, weights[name], rtol=0, atol=1e-4)
