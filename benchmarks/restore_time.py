"""Time and memory of `sixtyfold restore` beside mergekit's breadcrumbs, and on a large pair.

    make setup-mergekit
    python benchmarks/restore_time.py [--tuned DIR] [--rounds 3] [--large 3.2]

The pair is the embedded model in float32 (538 MB) and a tuned model of it: `--tuned`, or a stand-in
with normal noise of 1% of each tensor's spread. Every side is a whole process with a warm file
cache, in turns, medians of the rounds; memory is the largest resident set of the process.

  one      restore --top 20
  tensor   restore --top 20 --rule absolute --scope tensor --region all: what breadcrumbs ranks
  seven    restore --top 1,3,5,10,20,40,60: seven checkpoints
  mergekit breadcrumbs with density 0.8 and gamma 0.2: removes the largest 20% of each tensor

Neither side waits until its files lie on the disk; the disk is emptied of waiting writes before
each run (`sync`), and as much memory as a run writes is taken and given back, because a virtual
machine gets its memory from the host at first use. Our hashes of the inputs are forgotten before
each run: a pair that was read before is 0.3 to 0.7 s faster.

Then `tensor` is compared with mergekit's file, weight by weight: which weights are put back and by
how much the others differ (mergekit adds the update to the base again, which rounds).

With `--large N`, a made-up bfloat16 pair of N billion weights is written in shards, restored and
removed: it needs 6 GB of disk a billion weights.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.float_formats import RAW_TYPES, Array, convert
from sixtyfold.core.models import model_directory
from sixtyfold.core.weight_files import safetensors_header

SIXTYFOLD = Path(sys.executable).with_name("sixtyfold")
ONE = ("--top", "20")
SEVEN = ("--top", "1,3,5,10,20,40,60")
TENSOR = (*ONE, "--rule", "absolute", "--scope", "tensor", "--region", "all")
CHUNK = 1 << 22
TOUCH = "import numpy; numpy.ones(1 << 29)"  # 4 GiB
#: A process's largest resident set counts what its parent held, so the parent is a small one.
LAUNCH = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(time.perf_counter() - start, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
SHARD = 2_000_000_000
LARGE = {"hidden": 3072, "inner": 8192, "values": 1024, "vocabulary": 128_256}


class Measured(NamedTuple):
    """One process."""

    seconds: float
    memory: float
    """Largest resident set, MiB."""


def measure(command: list[str], folder: Path, out: Path) -> Measured:
    """Run a command after the machine was brought to the same state.

    Args:
        command: what is run.
        folder: a scratch directory.
        out: what the command writes; removed before.
    """
    cache = folder / "cache"
    for old in (cache, out):
        shutil.rmtree(old, ignore_errors=True)
    cache.mkdir()
    os.sync()
    subprocess.run([sys.executable, "-c", TOUCH], check=True)
    environment = {**os.environ, "SIXTYFOLD_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, *command], env=environment, capture_output=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
    seconds, kibibytes = done.stdout.decode().splitlines()[-1].split()
    return Measured(float(seconds), int(kibibytes) / 1024)


def restore(base: Path, tuned: Path, out: Path, *options: str) -> list[str]:
    """Return the command line of a restoration."""
    named = ["--base", str(base), "--tuned", str(tuned), "--out", str(out)]
    return [str(SIXTYFOLD), "restore", *named, *options]


def breadcrumbs(mergekit: Path, base: Path, tuned: Path, folder: Path, out: Path) -> list[str]:
    """Write mergekit's configuration and return its command line."""
    config = {
        "merge_method": "breadcrumbs",
        "base_model": str(base),
        "models": [
            {"model": str(tuned), "parameters": {"density": 0.8, "gamma": 0.2, "weight": 1.0}}
        ],
        "parameters": {"normalize": False},
        "dtype": "float32",
    }
    path = folder / "breadcrumbs.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return [str(mergekit), str(path), str(out), "--quiet"]


def write_model(folder: Path, shards: list[dict[str, tuple[str, tuple[int, ...]]]]) -> list[Path]:
    """Write index and headers of a checkpoint; return its weight files, to be filled."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    mapping, files = {}, []
    for number, shard in enumerate(shards):
        path = folder / f"model-{number + 1:05d}-of-{len(shards):05d}.safetensors"
        tensors = [_Shape(name, dtype, shape) for name, (dtype, shape) in shard.items()]
        path.write_bytes(safetensors_header(tensors))
        mapping.update(dict.fromkeys(shard, path.name))
        files.append(path)
    index = {"metadata": {}, "weight_map": mapping}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return files


class _Shape(NamedTuple):
    """A tensor of which only the header is written."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        return int(np.prod(self.shape))

    @property
    def nbytes(self) -> int:
        return self.numel * RAW_TYPES[self.dtype].itemsize

    def raw(self, start: int = 0, stop: int | None = None) -> Array:
        raise NotImplementedError

    def release(self, start: int, stop: int) -> None:
        raise NotImplementedError


def stand_in(base: Path, folder: Path) -> Path:
    """Write a tuned model: the base with normal noise of 1% of each tensor's spread."""
    shutil.copytree(base, folder)
    checkpoint = open_checkpoint(base)
    stream = np.random.default_rng(0)
    for file in checkpoint.files:
        with (folder / file.name).open("wb") as out:
            out.write(file.prefix)
            for stored in file.tensors.values():
                weights = np.asarray(stored.raw(), np.float32)
                noise = stream.standard_normal(weights.size, np.float32)
                noise *= np.float32(0.01) * weights.std()
                out.write((weights + noise).data)
    return folder


def large_shapes(billions: float) -> list[dict[str, tuple[str, tuple[int, ...]]]]:
    """Return shards of a Llama-like model in bfloat16 with about so many weights."""
    hidden, inner, values = LARGE["hidden"], LARGE["inner"], LARGE["values"]
    block: dict[str, tuple[int, ...]] = {
        "self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (values, hidden),
        "self_attn.v_proj": (values, hidden), "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,),
    }  # fmt: skip
    embedding = LARGE["vocabulary"] * hidden
    layers = round(
        (billions * 1e9 - embedding) / sum(int(np.prod(each)) for each in block.values())
    )
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (LARGE["vocabulary"], hidden)
    }
    for layer in range(max(1, layers)):
        shapes.update({f"model.layers.{layer}.{name}.weight": each for name, each in block.items()})
    shards: list[dict[str, tuple[str, tuple[int, ...]]]] = [{}]
    size = 0
    for name, shape in shapes.items():
        if size > SHARD:
            shards.append({})
            size = 0
        shards[-1][name] = ("BF16", shape)
        size += 2 * int(np.prod(shape))
    return shards


def large_pair(folder: Path, billions: float) -> tuple[Path, Path, int]:
    """Write base and tuned model; return them and the number of weights.

    The weights repeat every 4 million, rotated by another offset each time.
    """
    shards = large_shapes(billions)
    stream = np.random.default_rng(0)
    base = 0.02 * stream.standard_normal(CHUNK, np.float32)
    tuned = base + 2e-4 * stream.standard_normal(CHUNK, np.float32)
    total = 0
    for name, values in (("base", base), ("tuned", tuned)):
        raw = convert(values, "F32", "BF16")
        total = 0
        for path, shard in zip(write_model(folder / name, shards), shards, strict=True):
            with path.open("ab") as out:
                for numel in (int(np.prod(shape)) for _, shape in shard.values()):
                    total += numel
                    for start in range(0, numel, CHUNK):
                        own = np.roll(raw, 7919 * (total // CHUNK + start // CHUNK))
                        out.write(own[: min(CHUNK, numel - start)].data)
    return folder / "base", folder / "tuned", total


def same_weights(base: Path, tuned: Path, ours: Path, theirs: Path) -> None:
    """Print how far our per-tensor restoration and mergekit's file agree, and why they differ.

    mergekit sorts |tuned - base|; where weights at the cut are equal, its sort says which one is
    put back. It keeps int(0.8 N) weights and puts int(0.2 N) of the largest back; what both leave
    over (one weight where 5 does not divide N) is the smallest one.
    """
    models = [open_checkpoint(each).tensors for each in (base, tuned, ours, theirs)]
    counts = dict.fromkeys(("weights", "different", "tied at the cut", "smallest"), 0)
    largest = 0.0
    for name in models[2]:
        before, after, own, merged = (np.asarray(each[name].raw(), np.float32) for each in models)
        # mergekit's sum before + (after - before) is not always after: what it would give
        kept = before + (after - before)
        restored = (own == before) & (before != after)
        different = np.where(restored, before, kept) != merged
        update = np.abs(after - before)
        cut = update[restored].min(initial=np.inf)
        counts["weights"] += own.size
        counts["different"] += int(different.sum())
        tied = different & (update == cut)
        counts["tied at the cut"] += int(tied.sum())
        counts["smallest"] += int((different & ~tied & (update == update.min())).sum())
        largest = max(largest, float(np.abs(own - merged).max(initial=0.0)))
    print("per tensor, absolute, against mergekit's file: "
          + ", ".join(f"{number:,} {what}" for what, number in counts.items())
          + f"; largest difference {largest:.2e}")  # fmt: skip


def show(name: str, rounds: list[Measured], note: str = "") -> float:
    """Print the median of a side and return its seconds."""
    seconds = statistics.median(each.seconds for each in rounds)
    memory = statistics.median(each.memory for each in rounds)
    spread = f"{min(each.seconds for each in rounds):.2f}–{max(e.seconds for e in rounds):.2f}"
    print(f"{name:10} {seconds:7.2f} s ({spread})  {memory:7.0f} MiB  {note}")
    return seconds


def compare(arguments: argparse.Namespace, folder: Path) -> float:
    """Measure the 538 MB pair; return our weights per second."""
    base = model_directory("embedded")
    tuned = arguments.tuned or stand_in(base, folder / "tuned")
    outs = {name: folder / name for name in ("one", "tensor", "seven", "mergekit")}
    commands = {
        "one": restore(base, tuned, outs["one"], *ONE),
        "tensor": restore(base, tuned, outs["tensor"], *TENSOR),
        "seven": restore(base, tuned, outs["seven"], *SEVEN),
        "mergekit": breadcrumbs(arguments.mergekit, base, tuned, folder, outs["mergekit"]),
    }
    found: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            found[name].append(measure(command, folder, outs[name]))
            if name == "seven":
                shutil.rmtree(outs[name])
    one = show("one", found["one"])
    show("tensor", found["tensor"])
    seven = show("seven", found["seven"])
    theirs = show("mergekit", found["mergekit"])
    print(f"mergekit / one {theirs / one:.1f}, seven / one {seven / one:.2f}")
    same_weights(base, tuned, outs["tensor"], outs["mergekit"])
    return sum(each.numel for each in open_checkpoint(base).tensors.values()) / one


def large(billions: float, folder: Path, small_rate: float | None) -> None:
    """Measure a made-up bfloat16 pair."""
    base, tuned, total = large_pair(folder, billions)
    # read once: a warm file cache
    for path in sorted([*base.glob("*.safetensors"), *tuned.glob("*.safetensors")]):
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass
    found = measure(restore(base, tuned, folder / "out", *ONE), folder, folder / "out")
    rate = total / found.seconds
    note = f"{total / 1e9:.2f} billion weights, {rate / 1e6:.0f} million a second"
    if small_rate is not None:
        note += f", {100 * rate / small_rate:.0f}% of the small pair's"
    show("large", [found], note)
    timings = json.loads((folder / "out" / "timings.json").read_text())
    print(f"           parts in seconds: {timings}")


def main() -> None:
    """Run what the options say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--tuned", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mergekit", type=Path, default=Path(".venv-mergekit/bin/mergekit-yaml"))
    parser.add_argument("--large", type=float, help="billions of weights of a second, made-up pair")
    parser.add_argument("--only-large", action="store_true")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary one without it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        rate = None if arguments.only_large else compare(arguments, Path(scratch))
        for left in Path(scratch).iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if arguments.large:
            large(arguments.large, Path(scratch), rate)


if __name__ == "__main__":
    main()
