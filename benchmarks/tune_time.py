"""Time of tuning 60 examples: our stage against TRL alone, and the whole command.

    python benchmarks/tune_time.py [--selection DIR] [--rounds 3]

Both sides train the embedded model on the same 60 examples with the same settings, each in a
process of its own, in turns, so that a machine that slows down slows both.

  ours    `sixtyfold tune`: load, train (with every check of what was trained), save
  TRL     the 20 lines below: prompts and completions as text, `SFTTrainer`, `save_pretrained`

Prints medians of each part, the ratio of the training times, and the whole command's wall time.
Without `--selection` one is made first (a short probe of the atlas).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "30000")  # what the command line sets
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

EXAMPLES = 60
RATE = 1e-4


def plain(selection: Path, out: Path) -> dict[str, float]:
    """Train with TRL alone and return the seconds of its parts."""
    import torch
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from sixtyfold.core.models import cpu_has_bfloat16, model_directory

    directory = model_directory("embedded")
    start = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    loaded = time.perf_counter()
    rows = load_dataset("json", data_files=str(selection / "selection.jsonl"), split="train")
    cpu = not torch.cuda.is_available()
    trainer = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=rows.select_columns(["prompt", "completion"]),
        args=SFTConfig(
            output_dir=str(out), per_device_train_batch_size=8, num_train_epochs=1,
            learning_rate=RATE, lr_scheduler_type="cosine", max_length=None, use_cpu=cpu,
            bf16=(not cpu) or cpu_has_bfloat16(), gradient_checkpointing=False, logging_steps=1,
            save_strategy="no", report_to=[], seed=0, data_seed=0, disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
    )  # fmt: skip
    trainer.train()
    trained = time.perf_counter()
    trainer.model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    saved = time.perf_counter()
    return {"load": loaded - start, "train": trained - loaded, "save": saved - trained}


def in_own_process(selection: Path, out: Path) -> dict[str, float]:
    """Run `plain` in a process of its own."""
    command = [sys.executable, __file__, "--plain", str(out), "--selection", str(selection)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    parts: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**parts, "whole": time.perf_counter() - start}


def ours(selection: Path, out: Path) -> dict[str, float]:
    """Run the command as a user would."""
    command = [sys.executable, "-m", "sixtyfold", "tune", "--selection", str(selection)]
    start = time.perf_counter()
    subprocess.run(
        [*command, "--out", str(out), "--learning-rate", str(RATE)], check=True, capture_output=True
    )
    whole = time.perf_counter() - start
    parts = json.loads((out / "timings.json").read_text())
    return {name: parts[name] for name in ("load", "train", "save")} | {"whole": whole}


def make_selection(folder: Path) -> Path:
    """Probe some of the atlas briefly and select 60 examples."""
    probe, selection = folder / "probe", folder / "selection"
    steps = (
        f"probe --splits train --limit 240 --templates 2 --out {probe}",
        f"select --probe {probe} --size {EXAMPLES} --short fill --out {selection}",
    )
    for step in steps:
        command = [sys.executable, "-m", "sixtyfold", *step.split()]
        subprocess.run(command, check=True, capture_output=True)
    return selection


def main() -> None:
    """Time both sides and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--selection", type=Path, help="a selection of 60; made without it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.plain is not None:
        print(json.dumps(plain(given.selection, given.plain)))
        return
    sides: dict[str, list[dict[str, float]]] = {"ours": [], "TRL": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        selection = given.selection or make_selection(folder)
        for number in range(given.rounds):
            sides["ours"].append(ours(selection, folder / f"ours-{number}"))
            sides["TRL"].append(in_own_process(selection, folder / f"plain-{number}"))
            seen = {
                side: {k: round(v, 1) for k, v in runs[-1].items()} for side, runs in sides.items()
            }
            print(f"round {number + 1}, seconds: {seen}", flush=True)
    middle = {
        side: {part: statistics.median(run[part] for run in runs) for part in runs[0]}
        for side, runs in sides.items()
    }
    for part in ("load", "train", "save", "whole"):
        mine, theirs = middle["ours"][part], middle["TRL"][part]
        print(f"{part}: ours {mine:.2f} s, TRL {theirs:.2f} s, ratio {mine / theirs:.3f}")


if __name__ == "__main__":
    main()
