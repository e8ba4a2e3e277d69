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
from sixtyfold.workflows.watch import KnowledgeWatch
from sixtyfold.workflows.watch_files import WatchFiles
from sixtyfold.workflows.watch_rule import Judged

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


def test_the_last_figures_come_while_trackers_still_listen(planted: Path, tmp_path: Path) -> None:
    from transformers import TrainerCallback

    class Tracker(TrainerCallback):
        def __init__(self) -> None:
            self.told: list[int | str] = []

        def on_log(self, args: Any, state: Any, control: Any, logs: Any, **_: Any) -> None:
            self.told += [state.global_step] if "knowledge/in" in logs else []

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.told.append("end")

    tracker = Tracker()
    running = trainer(planted, tmp_path, callbacks=[tracker])
    watch(planted, every=4).attach(running)
    running.train()
    assert tracker.told == [0, 4, STEPS, "end"]


def test_a_training_that_ends_early_is_asked_at_its_end(planted: Path, tmp_path: Path) -> None:
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = state.global_step == 3

    own = watch(planted, every=2)
    trainer(planted, tmp_path, callbacks=[own, Stop()]).train()
    assert own.table["step"].unique().sort().to_list() == [0, 2, 3]


def trl_rows(planted: Path, scratch: Path, *, watched: bool) -> list[dict[str, Any]]:
    """What TRL's trainer logs in every second step."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    settings = SFTConfig(
        output_dir=str(scratch), max_steps=STEPS, per_device_train_batch_size=4, use_cpu=True,
        report_to=[], logging_steps=2, save_strategy="no", disable_tqdm=True, bf16=False,
        gradient_checkpointing=False,
    )  # fmt: skip
    running = SFTTrainer(
        model=str(planted),
        args=settings,
        train_dataset=Dataset.from_list(rows(planted)),
        processing_class=load_tokenizer(planted),
    )
    if watched:
        watch(planted, every=1).attach(running)
    running.train()
    clock = ("runtime", "per_second")
    return [
        {name: value for name, value in row.items() if not any(word in name for word in clock)}
        for row in running.state.log_history
        if "loss" in row
    ]


def test_the_figures_of_trl_are_left_as_they_were(planted: Path, tmp_path: Path) -> None:
    """TRL averages its own figures between two logs; a log in between must not empty them."""
    alone = trl_rows(planted, tmp_path / "alone", watched=False)
    assert len(alone) == STEPS // 2
    assert {"mean_token_accuracy", "entropy"} <= set(alone[0])
    assert trl_rows(planted, tmp_path / "watched", watched=True) == alone


def test_levels_are_told_by_domain(watched: Any) -> None:
    own, _, folder = watched
    answers = pl.read_parquet(folder / f"answers-{STEPS:06d}.parquet")
    now = own.table.filter(pl.col("step") == STEPS)
    for domain in ("in", "out"):
        those = answers.filter((pl.col("level") == 4) & (pl.col("domain") == domain))
        told = now.filter(pl.col("group") == f"{domain} level 4")
        assert told["n"].to_list() == ([those.height] if those.height else [])
        assert told["value"].to_list() == ([those["hit"].mean()] if those.height else [])
    parts = now.filter(pl.col("group").is_in(["in level 4", "out level 4"]))
    assert parts["n"].sum() == now.filter(pl.col("group") == "level 4")["n"][0]


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


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_asking_keeps_below_its_share_of_the_time(
    planted: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """A second each time, a step a second: what is asked in all, the last time too, stays below."""
    own = watch(planted, every=1, most_time=share)
    clock = 1000.0
    monkeypatch.setattr("sixtyfold.workflows.watch.time.monotonic", lambda: clock)
    own._started = clock

    def ask() -> None:
        nonlocal clock
        clock += 1
        own.seconds, own._asked = own.seconds + 1, own._asked + 1

    ask()
    shares = []
    for _ in range(60):
        clock += 1
        if not own._too_dear():
            ask()
            shares.append((own.seconds + 1) / (clock - own._started + 1))  # if it ended here
    assert max(shares) <= share
    assert own._asked > 60 * share / 2


def test_ends_with_the_weights_of_the_chosen_step(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = watch(planted, every=2, keep_best=True, out=tmp_path / "watch")
    seen: dict[int, dict[str, torch.Tensor]] = {}
    ask = KnowledgeWatch._ask

    def noted(self: KnowledgeWatch, args: Any, state: Any, control: Any, model: Any) -> None:
        seen[state.global_step] = weights(model)
        ask(self, args, state, control, model)

    values = {0: 0.1, 2: 0.2, 4: 0.9, STEPS: 0.3}
    monkeypatch.setattr(KnowledgeWatch, "_ask", noted)
    monkeypatch.setattr("sixtyfold.workflows.watch.judged", by_step(values))
    running = trainer(planted, tmp_path, callbacks=[own])
    running.train()
    assert own.best == Judged(4, 0.9, None)
    now = weights(running.model)
    assert all(torch.equal(value, now[name]) for name, value in seen[4].items())
    assert not all(torch.equal(value, now[name]) for name, value in seen[STEPS].items())
    assert WatchFiles(tmp_path / "watch").kept() == Judged(4, 0.9, None)
    kept = [path.name for path in (tmp_path / "watch").glob("*.safetensors")]
    assert kept == ["best.safetensors"]  # of one step, however many were asked


def by_step(values: dict[int, float]) -> Any:
    """Return what stands for `judged`: accuracy by step."""

    def judged(table: pl.DataFrame) -> list[Judged]:
        steps = table["step"].unique().sort().to_list()
        return [Judged(step, values[step], None) for step in steps]

    return judged


def test_a_model_that_no_process_holds_is_refused(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    running = trainer(planted, tmp_path)
    kept = PartialState._shared_state
    monkeypatch.setitem(kept, "distributed_type", DistributedType.DEEPSPEED)
    own = watch(planted)
    with pytest.raises(BadInput, match="under DEEPSPEED none holds all of it"):
        own.on_train_begin(running.args, running.state, running.control)


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
