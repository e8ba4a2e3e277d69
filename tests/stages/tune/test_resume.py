"""A training that is killed continues, and ends with the bytes of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

from file_digests import digests
from sixtyfold.cli import run_command
from sixtyfold.core.atomic_files import write_json
from sixtyfold.core.errors import OtherResult
from sixtyfold.core.stage import Finished
from sixtyfold.stages.tune.processes import Processes
from sixtyfold.stages.tune.resume import KeepStates, last_state
from sixtyfold.stages.tune.run import run
from sixtyfold.stages.tune.spec import TuneSpec
from tiny_models import tiny_model

ALONE = Processes(1, 0, False)


class KilledError(Exception):
    """Stands for a kill."""


class StopAfter(TrainerCallback):
    """End the training in the middle, as a kill does."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.first: int | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.first = self.first or state.global_step
        if state.global_step == self.step:
            raise KilledError


def spec(planted: Path, selected: Path, out: Path, **options: Any) -> TuneSpec:
    settings = {"learning_rate": 1e-3, "batch": 5, "epochs": 2, **options}
    return TuneSpec(model=str(planted), selection=selected, out=out, **settings)


def same(one: Finished, other: Finished) -> None:
    assert digests(one.path) == digests(other.path)


@pytest.mark.parametrize(
    "options",
    [{}, {"lora_rank": 4}, {"batch": 6, "accumulate": 2}, {"max_steps": 9, "epochs": None}],
    ids=["full", "lora", "accumulated", "steps"],
)
@pytest.mark.parametrize("killed", [4, 8])
def test_continued_is_as_uninterrupted(
    planted: Path, selected: Path, tmp_path: Path, options: dict[str, Any], killed: int
) -> None:
    """Passes of 7 or 6 steps, states every 3: continued in the first pass and in the second."""
    whole = run(spec(planted, selected, tmp_path / "whole", **options))
    out = tmp_path / "killed"
    again = spec(planted, selected, out, checkpoint_every=3, **options)
    with pytest.raises(KilledError):
        run(again, [StopAfter(killed)])
    kept = sorted(path.name for path in (out / "parts" / "training").iterdir() if path.is_dir())
    assert kept == [f"checkpoint-{killed // 3 * 3}"]
    assert not list(out.glob("*.safetensors"))
    watch = StopAfter(99)
    done = run(again, [watch])
    assert watch.first == killed // 3 * 3 + 1
    same(done, whole)
    assert not (out / "parts").exists()


def test_dropout_goes_on_where_it_stopped(
    planted_tokenizer: Any, selected: Path, tmp_path: Path
) -> None:
    """GPT-2 drops a tenth at random, so the state of the random numbers is part of it."""
    model = tiny_model("gpt2", tmp_path / "model", planted_tokenizer)
    whole = run(spec(model, selected, tmp_path / "whole"))
    again = spec(model, selected, tmp_path / "killed", checkpoint_every=3)
    with pytest.raises(KilledError):
        run(again, [StopAfter(5)])
    same(run(again), whole)


def test_a_state_that_is_not_complete_is_ignored(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    whole = run(spec(planted, selected, tmp_path / "whole"))
    out = tmp_path / "killed"
    again = spec(planted, selected, out, checkpoint_every=3)
    with pytest.raises(KilledError):
        run(again, [StopAfter(8)])
    folder = out / "parts" / "training"
    broken = folder / "checkpoint-9"
    (folder / "checkpoint-6").rename(broken)
    (broken / "complete.json").unlink()
    (broken / "optimizer.pt").write_bytes(b"half")
    watch = StopAfter(99)
    same(run(again, [watch]), whole)
    assert watch.first == 1


def test_a_real_kill_changes_no_byte(planted: Path, selected: Path, tmp_path: Path) -> None:
    """SIGKILL as soon as a complete state is there, then the same command."""
    whole = run(spec(planted, selected, tmp_path / "whole", epochs=15, dtype="float32"))
    out = tmp_path / "killed"
    command = f"tune --model {planted} --selection {selected} --out {out} --batch 5".split()
    command += ["--learning-rate", "0.001", "--epochs", "15", "--checkpoint-every", "20"]
    command += ["--dtype", "float32"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    start = [sys.executable, "-m", "sixtyfold", *command]
    running = subprocess.Popen(start, stderr=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 120
    while not list(out.glob("parts/training/*/complete.json")):
        assert running.poll() is None, running.stderr.read() if running.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    assert run_command(command) == 0  # here: another process takes longer to start than to train
    assert digests(out) == digests(whole.path)


def test_a_state_of_more_processes_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "checkpoint-4"
    state.mkdir()
    write_json(state / "complete.json", {"step": 4, "processes": 2})
    with pytest.raises(OtherResult, match="written by 2 processes, now there are 1; start as many"):
        last_state(tmp_path, ALONE)


def test_the_newest_complete_state_is_taken_by_its_number(tmp_path: Path) -> None:
    for step in (4, 10, 12):
        state = tmp_path / f"checkpoint-{step}"
        state.mkdir()
        if step != 12:
            write_json(state / "complete.json", {"step": step, "processes": 1})
    assert last_state(tmp_path, ALONE) == tmp_path / "checkpoint-10"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-10"]


@pytest.mark.parametrize(
    ("every", "seconds", "asked"),
    [(None, 0, []), (None, 601, [1, 2, 3]), (0, 601, []), (2, 0, [2])],
    ids=["short", "long", "never", "steps"],
)
def test_only_long_trainings_keep_states_of_their_own_accord(
    tmp_path: Path, every: int | None, seconds: float, asked: list[int]
) -> None:
    from transformers import TrainerControl, TrainerState

    keep = KeepStates(tmp_path, every, ALONE)
    keep.last -= seconds
    found = []
    for step in (1, 2, 3, 4):
        control = TrainerControl()
        keep.on_step_end(None, TrainerState(global_step=step, max_steps=4), control)
        found += [step] if control.should_save else []
    assert found == asked
