"""Two processes on processors, started as a user starts them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from file_digests import digests

EXAMPLES = Path(__file__).parents[3] / "examples"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def options(planted: Path, selected: Path, out: Path, more: str = "") -> list[str]:
    fixed = f"tune --model {planted} --selection {selected} --out {out} --learning-rate 0.001"
    return [*fixed.split(), "--dtype", "float32", *more.split()]


def launched(config: str, *command: str) -> list[str]:
    start = [sys.executable, "-m", "accelerate.commands.launch"]
    return [*start, "--config_file", str(EXAMPLES / config), "-m", "sixtyfold", *command]


def train(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=ONE_THREAD, timeout=300
    )


def alone(*command: str) -> list[str]:
    return [sys.executable, "-m", "sixtyfold", *command]


def lines_of(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("sixtyfold:")]


@pytest.mark.parametrize(
    "more",
    ["--batch 12 --epochs 2", "--batch 12 --accumulate 3 --epochs 2", "--batch 12 --lora-rank 4"],
    ids=["full", "accumulated", "lora"],
)
def test_two_processes_train_what_one_does(
    planted: Path, selected: Path, tmp_path: Path, more: str
) -> None:
    """The last batch of a pass holds 8 of 32 examples: in full one process has none of them."""
    one, two = tmp_path / "one", tmp_path / "two"
    done = train(launched("ddp.yaml", *options(planted, selected, two, more)))
    assert done.returncode == 0, done.stderr
    assert train(alone(*options(planted, selected, one, more))).returncode == 0
    first, second = (json.loads((each / "training.json").read_text()) for each in (one, two))
    for same in ("examples", "target_tokens", "steps", "examples_of_steps", "learning_rates"):
        assert first[same] == second[same]
    assert first["losses"] == pytest.approx(second["losses"], rel=1e-4)
    weights, others = (load_file(each / "model.safetensors") for each in (one, two))
    for name, weight in weights.items():
        torch.testing.assert_close(weight, others[name], rtol=0, atol=1e-4)
    assert json.loads((two / "manifest.json").read_text())["training"]["processes"] == 2
    assert not (two / "parts").exists()


def test_bad_input_is_told_once(planted: Path, selected: Path, tmp_path: Path) -> None:
    done = train(launched("ddp.yaml", *options(planted, selected, tmp_path / "t", "--batch 5")))
    assert done.returncode != 0
    (line,) = lines_of(done.stderr)
    assert "--batch 5 cannot be shared by 2 processes in 1 parts" in line
    assert not (tmp_path / "t").exists()


def test_weights_are_not_split_on_processors(planted: Path, selected: Path, tmp_path: Path) -> None:
    done = train(launched("fsdp.yaml", *options(planted, selected, tmp_path / "t")))
    assert done.returncode != 0
    (line,) = lines_of(done.stderr)
    assert "accelerate splits weights over GPUs alone; use examples/ddp.yaml" in line


def test_a_killed_process_ends_all_and_nothing_is_half_written(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    more = "--batch 8 --epochs 40 --checkpoint-every 10"
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert train(launched("ddp.yaml", *options(planted, selected, whole, more))).returncode == 0
    command = launched("ddp.yaml", *options(planted, selected, out, more))
    with _started(command) as running:
        deadline = time.monotonic() + 120
        while not list(out.glob("parts/training/*/complete.json")):
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        workers = _processes_of_ranks(running.pid)
        assert set(workers) == {0, 1}
        os.kill(workers[1], signal.SIGKILL)
        _, errors = running.communicate(timeout=120)
    assert running.returncode != 0
    assert not Path(f"/proc/{workers[0]}").exists()
    assert len(lines_of(errors)) <= 1
    assert "SIGKILL" in errors or "lost another process" in errors
    assert not (out / "manifest.json").exists()
    assert not list(out.glob("*.safetensors"))
    assert list(out.glob("parts/training/*/complete.json"))
    assert train(command).returncode == 0
    assert digests(out) == digests(whole)


def test_another_number_of_processes_does_not_continue(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    state = tmp_path / "t" / "parts" / "training" / "checkpoint-2"
    state.mkdir(parents=True)
    (state / "complete.json").write_text('{"step": 2, "processes": 4}')
    command = options(planted, selected, tmp_path / "t")
    _write_plan(command, tmp_path / "t", planted, selected)
    done = train(alone(*command))
    assert done.returncode == 4
    (line,) = lines_of(done.stderr)
    assert "written by 4 processes, now there are 1" in line


def _write_plan(command: list[str], out: Path, planted: Path, selected: Path) -> None:
    from sixtyfold.core.models import model_fingerprint
    from sixtyfold.core.stage import finished, write_json
    from sixtyfold.stages.tune.spec import TuneSpec

    spec = TuneSpec(
        model=str(planted), selection=selected, out=out, learning_rate=1e-3, dtype="float32"
    )
    inputs = {
        "model": model_fingerprint(planted),
        "selection": finished(selected).fingerprint,
    }
    write_json(out / "plan.json", {"stage": "tune", "spec": spec.recorded(), "inputs": inputs})


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=ONE_THREAD
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
            running.communicate()


def _processes_of_ranks(launcher: int) -> dict[int, int]:
    """Return rank to process id of a launcher's children."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"PPid:\t{launcher}\n" in status.read_text():
                words = (status.parent / "environ").read_bytes().decode().split("\0")
                ranks = [int(word[5:]) for word in words if word.startswith("RANK=")]
                found.update(dict.fromkeys(ranks, int(status.parent.name)))
    return found
