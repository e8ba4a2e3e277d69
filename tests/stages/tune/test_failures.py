"""What goes wrong ends in one clear error, with the state before it intact."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors import SafetensorError

from file_digests import digests
from sixtyfold.cli import run_command
from sixtyfold.core.checkpoint_saving import save_checkpoint, told_as_disk_errors
from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.core.models import load_tokenizer, model_directory, read_model
from sixtyfold.stages.tune.processes import Processes, one_line_errors
from sixtyfold.stages.tune.run import plan, run
from sixtyfold.stages.tune.spec import TuneSpec
from tiny_models import tiny_model

FULL = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def spec(planted: Path, selected: Path, out: Path, **options: Any) -> TuneSpec:
    settings = {"learning_rate": 1e-3, "batch": 8, **options}
    return TuneSpec(model=str(planted), selection=selected, out=out, **settings)


def nothing_saved(out: Path) -> None:
    assert not list(out.glob("*.safetensors"))
    assert not (out / "manifest.json").exists()
    assert not (out / ".saving").exists()
    with pytest.raises(SixtyfoldError):
        model_directory(str(out))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("completion", "  ", "has an empty question or answer; drop it"),
        ("question", "", "has an empty question or answer; drop it"),
        ("completion", " a" * 600, "tokens, --max-length allows 512; raise it or drop the row"),
    ],
    ids=["no answer", "no question", "too long"],
)
def test_a_bad_row_is_named_in_one_line(
    planted: Path, selected: Path, tmp_path: Path, capsys: Any, column: str, value: str, said: str
) -> None:
    """A selection whose third row was changed by hand; what was there before stays."""
    bad = Path(shutil.copytree(selected, tmp_path / "bad"))
    table = pl.read_parquet(bad / "selection.parquet")
    key = table["fact_id"][2]
    here = pl.col("fact_id") == key
    changed = pl.when(here).then(pl.lit(value)).otherwise(column).alias(column)
    table.with_columns(changed).write_parquet(bad / "selection.parquet")
    command = ["tune", "--model", str(planted), "--selection", str(bad)]
    assert run_command([*command, "--out", str(tmp_path / "t")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"training row {key} has " in line
    assert line.endswith(said)
    nothing_saved(tmp_path / "t")


@pytest.mark.parametrize("name", ["labels", "input_ids", "attention_mask"])
def test_a_trainer_that_changes_an_example_is_stopped(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As a new version of TRL might: one number of the last batch is another."""
    from sixtyfold.stages.tune import trainer

    class Changed(trainer.CheckedCollator):
        def __init__(self, collate: Any, examples: Any) -> None:
            def other(rows: Any) -> Any:
                batch = collate(rows)
                if any(row["row"] == 31 for row in rows):
                    batch[name][0, 0] = 0 if name == "attention_mask" else 7
                return batch

            super().__init__(other, examples)

    monkeypatch.setattr(trainer, "CheckedCollator", Changed)
    with pytest.raises(SixtyfoldError, match=r"the trainer changed example .*; nothing was saved"):
        run(spec(planted, selected, tmp_path / "t"))
    nothing_saved(tmp_path / "t")


def test_a_row_longer_than_the_model_reads_is_named(
    planted_tokenizer: Any, selected: Path, tmp_path: Path
) -> None:
    model = tiny_model("gpt2", tmp_path / "model", planted_tokenizer)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "n_positions": 4}))
    with pytest.raises(BadInput, match=r"training row .* reads at most 4; drop the row"):
        run(spec(model, selected, tmp_path / "t"))


def test_a_warm_up_that_never_ends_is_refused(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="--warmup-steps 4 leaves none of 4 steps"):
        run(spec(planted, selected, tmp_path / "t", warmup_steps=4))


def test_a_plan_refuses_what_a_run_refuses(planted: Path, selected: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--report-to neptun is not installed"):
        plan(spec(planted, selected, tmp_path / "t", report_to="neptun"))
    with pytest.raises(BadInput, match="--optimizer adamw-8bit needs"):
        plan(spec(planted, selected, tmp_path / "t", optimizer="adamw-8bit"))


@pytest.mark.parametrize("every", [0, 2], ids=["result", "state"])
def test_a_file_that_cannot_be_written_to_its_end_is_told_in_one_line(
    planted: Path, selected: Path, tmp_path: Path, every: int
) -> None:
    """A real write that fails half-way: files may not grow beyond a quarter of the weights."""
    out = tmp_path / "t"
    size = (planted / "model.safetensors").stat().st_size // 4
    command = f"tune --model {planted} --selection {selected} --out {out} --batch 8"
    words = [*command.split(), "--checkpoint-every", str(every)]
    program = (
        "import resource, sys\n"
        "from sixtyfold.cli import run_command\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))\n"
        "sys.exit(run_command(sys.argv[2:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(size), *words],
        check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("sixtyfold:")]
    assert len(lines) == 1, done.stderr
    assert "cannot read or write" in lines[0]
    assert "Traceback" not in done.stderr
    nothing_saved(out)
    assert not list(out.rglob("complete.json"))


def test_a_loss_that_is_no_number_ends_it_at_once(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    with pytest.raises(SixtyfoldError, match=r"step \d is not a number; lower --learning-rate"):
        run(spec(planted, selected, tmp_path / "t", learning_rate=1e30, epochs=50))
    nothing_saved(tmp_path / "t")


def test_weights_that_are_no_numbers_after_the_last_step_are_not_saved(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    """The loss of a single step is that of the base, whatever the step did."""
    with pytest.raises(SixtyfoldError, match=r"weight .* is not a number after training"):
        run(spec(planted, selected, tmp_path / "t", learning_rate=1e39, max_steps=1))
    nothing_saved(tmp_path / "t")


def test_a_full_disk_at_the_end_leaves_nothing_and_the_last_state(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(spec(planted, selected, tmp_path / "whole"))
    out = tmp_path / "t"
    given = spec(planted, selected, out, checkpoint_every=3)
    with monkeypatch.context() as patch:
        _fill_disk(patch, after=1)
        with pytest.raises(OSError, match="No space left on device") as failed:
            run(given)
    assert failed.value.errno == errno.ENOSPC
    nothing_saved(out)
    assert (out / "parts" / "training" / "checkpoint-3" / "complete.json").is_file()
    assert digests(run(given).path) == digests(whole.path)


def test_a_full_disk_while_a_state_is_written_keeps_the_one_before(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(spec(planted, selected, tmp_path / "whole"))
    out = tmp_path / "t"
    given = spec(planted, selected, out, checkpoint_every=1)
    save = torch.save

    def half(value: Any, path: Any, *rest: Any, **more: Any) -> None:
        if "checkpoint-2" in str(path) and "optimizer" in str(path):
            Path(path).write_bytes(b"half")
            raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")
        save(value, path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(OSError, match="failed writing file"):
            run(given)
    nothing_saved(out)
    kept = out / "parts" / "training"
    assert (kept / "checkpoint-1" / "complete.json").is_file()
    assert not (kept / "checkpoint-2" / "complete.json").exists()
    assert digests(run(given).path) == digests(whole.path)


def test_what_stood_there_stays_when_a_checkpoint_cannot_be_written(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = read_model(planted), load_tokenizer(planted)
    save_checkpoint(model, tokenizer, tmp_path)
    before = digests(tmp_path)
    _fill_disk(monkeypatch, after=0)
    with torch.no_grad():
        model.model.norm.weight.add_(1)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(model, tokenizer, tmp_path)
    assert digests(tmp_path) == before
    assert not (tmp_path / ".saving").exists()


def _fill_disk(patch: pytest.MonkeyPatch, after: int) -> None:
    """Let safetensors write so many files, then be told that the disk is full."""
    from transformers import modeling_utils

    written = 0
    save = modeling_utils.safe_save_file

    def full(*given: Any, **more: Any) -> None:
        nonlocal written
        written += 1
        if written > after:
            raise FULL
        save(*given, **more)

    patch.setattr(modeling_utils, "safe_save_file", full)


def test_errors_that_are_no_full_disk_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), told_as_disk_errors(tmp_path):
        raise RuntimeError("shapes differ")
    with pytest.raises(OSError, match="header") as other, told_as_disk_errors(tmp_path):
        raise SafetensorError("header too large")
    assert other.value.errno == errno.EIO
    assert os.strerror(errno.ENOSPC) not in str(other.value)


def test_a_lost_process_and_a_full_device_are_told_in_one_line() -> None:
    pair = Processes(2, 0, False)
    closed = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    with pytest.raises(SixtyfoldError, match="lost another process"), one_line_errors(pair):
        raise closed
    alone = Processes(1, 0, False)
    with pytest.raises(RuntimeError, match="Connection closed"), one_line_errors(alone):
        raise closed
    with pytest.raises(RuntimeError, match="shapes"), one_line_errors(pair):
        raise RuntimeError("shapes differ")
    with (
        pytest.raises(SixtyfoldError, match=r"ran out of memory .* raise --accumulate"),
        one_line_errors(alone),
    ):
        raise torch.OutOfMemoryError
