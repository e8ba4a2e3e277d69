"""The knowledge watch in trainers of transformers and TRL, on the planted model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import load_tokenizer
from sixtyfold.workflows.watch import Judged, KnowledgeWatch, choose

STEPS = 6


def rows(planted: Path, count: int = 12) -> list[dict[str, Any]]:
    tokenizer = load_tokenizer(planted)
    facts = pl.read_parquet(planted / "facts.parquet").filter(pl.col("split") == "train")
    found = []
    for fact in facts.head(count).iter_rows(named=True):
        ids = tokenizer(f"Question: {fact['question']}\nAnswer: {fact['objects'][0]}")["input_ids"]
        found.append({"input_ids": ids, "labels": ids})
    return found


def trainer(planted: Path, scratch: Path, **given: Any) -> Any:
    from datasets import Dataset
    from transformers import (
        AutoModelForCausalLM,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(0)
    tokenizer = load_tokenizer(planted)
    model = AutoModelForCausalLM.from_pretrained(planted, dtype="float32")
    arguments = TrainingArguments(
        output_dir=str(scratch), max_steps=STEPS, per_device_train_batch_size=4, use_cpu=True,
        learning_rate=1e-3, report_to=[], logging_steps=1, save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(rows(planted)),
        processing_class=tokenizer,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        **given,
    )


def watch(planted: Path, **options: Any) -> KnowledgeWatch:
    return KnowledgeWatch(facts=str(planted), per_level=3, **{"most_time": 1.0, **options})


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def watched(planted: Path, probed: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("watched")
    own = watch(planted, probe=probed, every=2, out=folder / "watch")
    running = trainer(planted, folder)
    own.attach(running)
    running.train()
    return own, running, folder / "watch"


def test_asks_before_while_and_after(watched: Any) -> None:
    own, _, _ = watched
    assert own.table["step"].unique().sort().to_list() == [0, 2, 4, STEPS]
    groups = set(own.table["group"])
    assert {"in", "level 0", "level 4", "kl 4"} <= groups


def test_divergence_begins_at_nothing_and_grows(watched: Any) -> None:
    own, _, _ = watched
    kl = own.table.filter(pl.col("group") == "kl 4").sort("step")["value"].to_list()
    assert kl[0] == pytest.approx(0, abs=1e-6)
    assert kl[-1] > 0.01


def test_figures_reach_the_trainers_log(watched: Any) -> None:
    own, running, _ = watched
    logged = [each for each in running.state.log_history if "knowledge/in" in each]
    assert len(logged) == own.table["step"].n_unique()
    assert len([each for each in running.state.log_history if "loss" in each]) == STEPS


def test_figures_are_the_answers_counted(watched: Any) -> None:
    own, _, folder = watched
    answers = pl.read_parquet(folder / f"answers-{STEPS:06d}.parquet")
    level = answers.filter(pl.col("level") == 4)
    told = own.table.filter((pl.col("step") == STEPS) & (pl.col("group") == "level 4"))
    assert told["n"][0] == level.height > 0
    assert told["value"][0] == pytest.approx(level["hit"].mean())


def test_cost_and_rule_are_written_down(watched: Any) -> None:
    _, _, folder = watched
    said = json.loads((folder / "watch.json").read_text())
    assert said["rule"] is None
    assert 0 < said["share_of_time"] <= 1
    assert said["skipped"] == []


def test_training_is_not_changed_by_being_watched(
    planted: Path, watched: Any, tmp_path: Path
) -> None:
    _, running, _ = watched
    alone = trainer(planted, tmp_path)
    alone.train()
    theirs = weights(alone.model)
    assert all(torch.equal(value, theirs[name]) for name, value in weights(running.model).items())


def test_what_would_take_too_long_is_left_out_and_said(planted: Path, tmp_path: Path) -> None:
    own = watch(planted, every=1, most_time=1e-6)
    running = trainer(planted, tmp_path, callbacks=[own])
    running.train()
    assert own.skipped == [1, 2, 3, 4, 5]
    assert own.table["step"].unique().sort().to_list() == [0, STEPS]


def test_ends_with_the_weights_of_the_chosen_step(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = watch(planted, every=2, keep_best=True, out=tmp_path / "watch")
    seen: dict[int, dict[str, torch.Tensor]] = {}
    ask = KnowledgeWatch._ask

    def noted(self: KnowledgeWatch, args: Any, state: Any, control: Any, model: Any) -> None:
        seen[state.global_step] = weights(model)
        ask(self, args, state, control, model)

    better_at_4 = [Judged(0, 0.1, None), Judged(2, 0.2, None), Judged(4, 0.9, None)]
    monkeypatch.setattr(KnowledgeWatch, "_ask", noted)
    monkeypatch.setattr(
        "sixtyfold.workflows.watch.judged",
        lambda table: [*better_at_4, Judged(STEPS, 0.3, None)][: table["step"].n_unique()],
    )
    running = trainer(planted, tmp_path, callbacks=[own])
    running.train()
    assert own.best == Judged(4, 0.9, None)
    now = weights(running.model)
    assert all(torch.equal(value, now[name]) for name, value in seen[4].items())
    assert not all(torch.equal(value, now[name]) for name, value in seen[STEPS].items())
    assert not (tmp_path / "watch" / "best.safetensors").exists()


def test_a_step_that_lost_too_much_is_not_chosen() -> None:
    steps = [Judged(0, 0.1, 0.5), Judged(1, 0.5, 0.9), Judged(2, 0.6, 0.85), Judged(3, 0.7, 0.7)]
    assert choose(steps, 10).step == 2
    assert choose(steps, 1).step == 1
    assert choose(steps, None).step == 3


def test_a_kept_step_that_is_no_longer_allowed_is_replaced() -> None:
    assert choose([Judged(0, 0.5, 0.2), Judged(1, 0.4, 0.9)], 5).step == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep_best": True}, "give out"),
        ({"lose_at_most": 2.0}, "add keep_best and a probe"),
        ({"facts": "nowhere.csv"}, "nowhere.csv"),
    ],
)
def test_bad_options_are_one_line(planted: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        KnowledgeWatch(**{"facts": str(planted), **options})


def test_a_trainer_without_a_tokenizer_is_refused(planted: Path, tmp_path: Path) -> None:
    running = trainer(planted, tmp_path, callbacks=[watch(planted)])
    running.callback_handler.processing_class = None
    with pytest.raises(BadInput, match="processing_class"):
        running.train()
