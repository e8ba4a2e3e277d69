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
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from file_digests import digests
from sixtyfold.cli import run_command

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


def lines_of(errors: str) -> list[str]:
    return [line for line in errors.splitlines() if line.startswith("sixtyfold:")]


COMMANDS = {
    "full": "--batch 12 --epochs 2",
    "accumulated": "--batch 12 --accumulate 3 --epochs 2",
    "lora": "--batch 12 --lora-rank 4",
    "long": "--batch 8 --epochs 20 --checkpoint-every 10",
    "watched": "--batch 8 --epochs 2 --watch 3 --keep-best",
    "diverging": "--batch 8 --learning-rate 1e30",
    "elsewhere": "--model nowhere/at-all",
    "taken": "",
}
"""One after the other in the same two processes: a process takes longer to start than to train."""

DRIVER = """
import json, sys
from pathlib import Path
from sixtyfold.cli import run_command
import os

codes = {}
for name, command in json.loads(Path(sys.argv[1]).read_text()).items():
    sys.stderr.write(f"begin {name}\\n")
    try:
        codes[name] = run_command(command)
    except SystemExit as stop:
        codes[name] = stop.code
    sys.stderr.flush()
Path(sys.argv[2], os.environ["RANK"] + ".json").write_text(json.dumps(codes))
"""


class Together(NamedTuple):
    """What two processes did with all the commands."""

    folder: Path
    codes: list[dict[str, int]]
    """Exit code of each command, by rank."""
    errors: str

    def said(self, name: str) -> list[str]:
        """Return what was said to the user, by any process, beginning with a word."""
        return [line for line in lines_of(self.errors) if name in line]


@pytest.fixture(scope="module")
def together(planted: Path, selected: Path, tmp_path_factory: pytest.TempPathFactory) -> Together:
    folder = tmp_path_factory.mktemp("together")
    (folder / "taken").mkdir()
    (folder / "taken" / "notes.txt").write_text("mine")
    commands = {
        name: options(planted, selected, folder / name, more) for name, more in COMMANDS.items()
    }
    commands["watched"] += ["--facts", str(planted)]
    (folder / "commands.json").write_text(json.dumps(commands))
    (folder / "driver.py").write_text(DRIVER)
    start = launched("ddp.yaml")[:-2]  # a script in place of -m sixtyfold
    start += [str(folder / each) for each in ("driver.py", "commands.json", "")]
    done = train(start)
    assert done.returncode == 0, done.stderr
    codes = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    return Together(folder, codes, done.stderr)


def alone_at(planted: Path, selected: Path, out: Path, name: str) -> Path:
    assert run_command(options(planted, selected, out, COMMANDS[name])) == 0
    return out


@pytest.mark.parametrize("name", ["full", "accumulated", "lora"])
def test_two_processes_train_what_one_does(
    together: Together, planted: Path, selected: Path, tmp_path: Path, name: str
) -> None:
    """The last batch of a pass holds 8 of 32 examples: in full one process has none of them."""
    one, two = alone_at(planted, selected, tmp_path / "one", name), together.folder / name
    first, second = (json.loads((each / "training.json").read_text()) for each in (one, two))
    for same in ("examples", "target_tokens", "steps", "examples_of_steps", "learning_rates"):
        assert first[same] == second[same]
    assert first["losses"] == pytest.approx(second["losses"], rel=1e-4)
    weights, others = (load_file(each / "model.safetensors") for each in (one, two))
    for tensor, weight in weights.items():
        torch.testing.assert_close(weight, others[tensor], rtol=0, atol=1e-4)
    assert json.loads((two / "manifest.json").read_text())["training"]["processes"] == 2
    assert not (two / "parts").exists()


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("diverging", 1, "is not a number; lower --learning-rate"),
        ("elsewhere", 2, "nowhere/at-all"),
        ("taken", 4, "holds files of something else (notes.txt)"),
    ],
)
def test_what_fails_in_one_process_ends_both_and_is_told_once(
    together: Together, name: str, code: int, said: str
) -> None:
    """None waits for the other: the commands after it ran in the same processes."""
    assert [codes[name] for codes in together.codes] == [code, code]
    assert len(together.said(said)) == 1
    assert not list((together.folder / name).glob("*.safetensors"))
    assert not (together.folder / name / "manifest.json").exists()


def test_the_first_of_two_processes_is_watched(together: Together) -> None:
    out = together.folder / "watched"
    assert [codes["watched"] for codes in together.codes] == [0, 0]
    watch = json.loads((out / "watch" / "watch.json").read_text())
    record = json.loads((out / "training.json").read_text())
    assert watch["asked"] == 4  # before the first of 8 steps, after 3, 6 and 8
    assert watch["chosen"]["step"] == record["weights_of_step"]


def test_several_trainings_in_several_processes_are_refused(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    command = options(planted, selected, tmp_path / "t", f"--facts {planted}")
    assert run_command([*command, "--learning-rates", "1e-4", "1e-3"]) == 2
    (line,) = lines_of(capsys.readouterr().err)
    assert "--learning-rates trains and asks in one process and 2 were started" in line


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
    together: Together, planted: Path, selected: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = launched("ddp.yaml", *options(planted, selected, out, COMMANDS["long"]))
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
    assert digests(out) == digests(together.folder / "long")


def test_another_number_of_processes_does_not_continue(
    planted: Path, selected: Path, tmp_path: Path, capsys: Any
) -> None:
    state = tmp_path / "t" / "parts" / "training" / "checkpoint-2"
    state.mkdir(parents=True)
    (state / "complete.json").write_text('{"step": 2, "processes": 4}')
    command = options(planted, selected, tmp_path / "t")
    _write_plan(command, tmp_path / "t", planted, selected)
    assert run_command(command) == 4
    (line,) = lines_of(capsys.readouterr().err)
    assert "written by 4 processes, now there are 1" in line


def _write_plan(command: list[str], out: Path, planted: Path, selected: Path) -> None:
    from sixtyfold.core.atomic_files import write_json
    from sixtyfold.core.models import model_fingerprint
    from sixtyfold.core.stage import finished
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
