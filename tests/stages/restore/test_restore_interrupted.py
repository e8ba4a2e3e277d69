"""Real processes killed at random moments, and a real disk that fills up.

Whatever the moment: what lies there is complete and right, or nothing that a reader would take for
a checkpoint; and the same command goes on to the very result of an undisturbed run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from file_digests import digests
from made_up_checkpoints import moved, random_values, write_checkpoint
from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.errors import SixtyfoldError
from sixtyfold.core.models import model_directory
from sixtyfold.core.stage import finished
from sixtyfold.stages.restore.patch import Patch
from sixtyfold.stages.restore.patch_values import PatchValues
from sixtyfold.stages.restore.rebuild import run as run_rebuild
from sixtyfold.stages.restore.rebuild_spec import RebuildSpec
from sixtyfold.stages.restore.run import run as run_restore
from sixtyfold.stages.restore.spec import RestoreSpec

PROGRAM = """
import importlib, json, sys
def named(where):
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)
run, spec = named(sys.argv[1]), named(sys.argv[2]).parse(json.loads(sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
run(spec)
"""
FOLDER = "sixtyfold.stages.restore"
RESTORE = (f"{FOLDER}.run:run", f"{FOLDER}.spec:RestoreSpec")
REBUILD = (f"{FOLDER}.rebuild:run", f"{FOLDER}.rebuild_spec:RebuildSpec")

SHAPES = {
    "model.embed_tokens.weight": (500, 64),
    **{f"model.layers.{layer}.mlp.up_proj.weight": (300, 256) for layer in range(12)},
    **{f"model.layers.{layer}.self_attn.q_proj.weight": (256, 256) for layer in range(12)},
}
KINDS: dict[str, dict[str, Any]] = {
    "one": {"top": 20},
    "several": {"top": "5,20,60"},
    "rule-patch": {"top": "5,20", "as_patch": True},
    "values-patch": {"top": 40, "as_patch": True, "patch_values": True},
    "rebuild": {},
}


class Job(NamedTuple):
    """A command, and what an undisturbed run of it leaves."""

    kind: str
    given: dict[str, Any]
    expected: dict[str, str]
    seconds: float

    def start(self, out: Path) -> subprocess.Popen[str]:
        """Start it in a process of its own and wait until it begins."""
        where = REBUILD if self.kind == "rebuild" else RESTORE
        options = json.dumps({**self.given, "out": str(out)})
        words = [sys.executable, "-c", PROGRAM, *where, options]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        return process

    def run(self, out: Path) -> None:
        """Run it here to its end."""
        if self.kind == "rebuild":
            run_rebuild(RebuildSpec.parse({**self.given, "out": out}))
        else:
            run_restore(RestoreSpec.parse({**self.given, "out": out}))


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pair")
    base = random_values(shapes=SHAPES)
    write_checkpoint(folder / "b", base, shards=3)
    write_checkpoint(folder / "t", moved(base), shards=9)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / "t" / name).write_text("x" * 50_000)
    return {"base": str(folder / "b"), "tuned": str(folder / "t")}


@pytest.fixture(scope="module", params=KINDS)
def job(request, pair, tmp_path_factory) -> Job:
    folder = tmp_path_factory.mktemp(request.param)
    given = {**pair, **KINDS[request.param]}
    if request.param == "rebuild":
        patch = folder / "patch"
        run_restore(RestoreSpec.parse({**pair, "top": 20, "as_patch": True, "out": patch}))
        given["patch"] = str(patch)
    job = Job(request.param, given, {}, 0.0)
    start = time.monotonic()
    job.run(folder / "whole")
    return job._replace(expected=digests(folder / "whole"), seconds=time.monotonic() - start)


def check_what_is_left(out: Path, job: Job) -> str:
    """Check every file and directory that a reader might take; return how far the run had come."""
    found = {path.relative_to(out): path for path in out.rglob("*") if path.is_file()}
    for name, path in found.items():
        if path.suffix == ".safetensors":  # never a part of one
            assert digest_of(path) == job.expected[str(name)]
    for folder in {path.parent for path in found.values()} | {out}:
        if "parts" in folder.parts:
            continue
        check_folder(folder, out, job)
    done = sum(path.suffix == ".safetensors" for path in found.values())
    return "finished" if (out / "manifest.json").is_file() else f"{done} files"


def check_folder(folder: Path, out: Path, job: Job) -> None:
    """Check that a directory is whole or is refused by every reader."""
    if (folder / "config.json").is_file():  # what makes libraries take it for a model
        names = [str(each.name) for each in open_checkpoint(folder).companions()]
        names += [file.name for file in open_checkpoint(folder).files]
        assert {"tokenizer.json", "chat_template.jinja", "config.json"} <= set(names)
        for name in names:
            path = folder / name
            assert digest_of(path) == job.expected[str(path.relative_to(out))]
    if not (folder / "manifest.json").is_file():
        with pytest.raises(SixtyfoldError):
            model_directory(str(folder))
        with pytest.raises(SixtyfoldError):
            finished(folder)
    elif (folder / "patch.json").is_file():
        if Patch.read(folder).form == "values":
            PatchValues(folder)
    elif "patch" not in job.kind and (job.kind != "several" or folder != out):
        model_directory(str(folder))


def digest_of(path: Path) -> str:
    return digests(path.parent)[path.name]


def kill_and_go_on(job: Job, out: Path, kills: int, stream: np.random.Generator) -> set[str]:
    """Kill the command a few times at random moments, then let it end; return how far it came."""
    stages = set()
    for _ in range(kills):
        process = job.start(out)
        time.sleep(stream.uniform(0.0, 1.2) * job.seconds)
        process.kill()
        process.communicate()
        stages.add(check_what_is_left(out, job) if out.exists() else "nothing")
    job.run(out)
    assert digests(out) == job.expected
    assert not [path for path in out.rglob("*") if path.name.endswith(".partial")]
    return stages


def test_killed_at_random_moments_it_goes_on(job, tmp_path):
    kill_and_go_on(job, tmp_path / "out", 3, np.random.default_rng(1))


@pytest.mark.long
def test_a_storm_of_kills(job, tmp_path):
    stream = np.random.default_rng(7)
    stages: set[str] = set()
    for number in range(30):
        stages |= kill_and_go_on(job, tmp_path / f"out{number}", int(stream.integers(1, 4)), stream)
        shutil.rmtree(tmp_path / f"out{number}")
    assert len(stages) >= 3, stages  # it was killed at the beginning, in the middle and at the end


DISK = """
import json, subprocess, sys
from pathlib import Path
from sixtyfold.cli import run_command
disk, size, words = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
def mount(*options):
    subprocess.run(["mount", *options, "tmpfs", str(disk)], check=True)
mount("-t", "tmpfs", "-o", f"size={size}k")
first = run_command(words)
subprocess.run(["cp", "-r", str(disk / "out"), sys.argv[1] + "-full"], check=True)
mount("-o", "remount,size=200m")
second = run_command(words)
subprocess.run(["cp", "-r", str(disk / "out"), sys.argv[1] + "-kept"], check=True)
print(json.dumps([first, second]))
"""


@pytest.fixture(scope="module")
def _disks() -> None:
    """Leave out, and say so, where a process may not mount a disk of its own."""
    tried = subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        check=False, capture_output=True,
    )  # fmt: skip
    if tried.returncode:
        pytest.skip("this system lets no process mount a small disk (unshare -Urm)")


@pytest.mark.usefixtures("_disks")
@pytest.mark.parametrize(
    ("kind", "room"),
    [("one", room) for room in (-2_000, 20, 60, 130)]
    + [("several", room) for room in (-2_000, 20, 130, 300, 500)],
)
def test_a_full_disk_leaves_nothing_and_with_room_it_goes_on(kind, room, pair, tmp_path):
    """`room`: KiB beyond the weights; the first is too little for them, the others for the rest."""
    whole, top = tmp_path / "whole", KINDS[kind]["top"]
    run_restore(RestoreSpec.parse({**pair, "top": top, "out": whole}))
    weights = sum(path.stat().st_size for path in whole.rglob("*.safetensors"))
    disk = tmp_path / "disk"
    disk.mkdir()
    command = f"restore --base {pair['base']} --tuned {pair['tuned']} --top {top} --out {disk}/out"
    words = [str(disk), str(weights // 1024 + room), *command.split()]
    done = subprocess.run(
        ["unshare", "-Urm", sys.executable, "-c", DISK, *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    first, second = json.loads(done.stdout.splitlines()[-1])
    told = [line for line in done.stderr.splitlines() if line.startswith("sixtyfold:")]
    assert first != 0
    assert len(told) == 1, done.stderr
    assert "full" in told[0] or "free" in told[0] or "No space" in told[0]
    assert "Traceback" not in done.stderr
    left = tmp_path / "disk-full"
    assert check_what_is_left(left, Job(kind, {}, digests(whole), 0.0)) != "finished"
    if kind == "one":
        assert not (left / "config.json").exists()
    assert not list(left.rglob("*.partial"))
    assert second == 0
    assert digests(tmp_path / "disk-kept") == digests(whole)
