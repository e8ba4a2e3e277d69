"""Patches that are damaged, or of other models: refused, and never another model."""

from __future__ import annotations

import errno
import json
import os
import shutil

import numpy as np
import pytest

import sixtyfold
from made_up_checkpoints import (
    random_values,
    write_checkpoint,
    write_pair,
)
from restored_models import assert_same_model, rebuild, restore
from sixtyfold.cli import run_command
from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput, OtherResult, SixtyfoldError
from sixtyfold.core.pair_models import find_pair
from sixtyfold.stages.restore import patch_values
from sixtyfold.stages.restore.rebuild import plan as rebuild_plan
from sixtyfold.stages.restore.rebuild_spec import RebuildSpec
from sixtyfold.stages.restore.run import plan
from sixtyfold.stages.restore.spec import RestoreSpec


def test_other_models_are_refused(tmp_path):
    base, tuned = write_pair(tmp_path)
    other = write_checkpoint(tmp_path / "other", random_values(9))
    for name, values in (("p", False), ("v", True)):
        restore(base, tuned, tmp_path / name, as_patch=True, patch_values=values)
        with pytest.raises(BadInput, match=r"--tuned .* is not the model that the patch"):
            rebuild(tmp_path / name, base, other, tmp_path / "o")
    with pytest.raises(BadInput, match=r"--base .* is not the model that the patch"):
        rebuild(tmp_path / "p", other, tuned, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_changed_patch_leaves_no_model(tmp_path):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "p", as_patch=True)
    path = tmp_path / "p" / "patch.json"
    content = json.loads(path.read_text())
    content["recipe"]["cuts"][0]["key"] -= 1 << 20
    path.write_text(json.dumps(content))
    with pytest.raises(Corrupted, match=r"the rebuilt model.safetensors is not the one"):
        rebuild(tmp_path / "p", base, tuned, tmp_path / "o")
    assert {path.name for path in (tmp_path / "o").iterdir()} == {"plan.json", ".lock"}


@pytest.mark.parametrize("where", [-1, -40, 300])
def test_damaged_values_leave_no_model(tmp_path, where):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "p", as_patch=True, patch_values=True, top=60)
    path = tmp_path / "p" / "patch.safetensors"
    content = bytearray(path.read_bytes())
    content[where] ^= 0x41
    path.write_bytes(content)
    with pytest.raises((Corrupted, BadInput)):
        rebuild(tmp_path / "p", base, tuned, tmp_path / "o")
    assert not list((tmp_path / "o").glob("*.safetensors"))
    path.unlink()
    with pytest.raises(BadInput, match="cannot read"):
        rebuild(tmp_path / "p", base, tuned, tmp_path / "o")


@pytest.mark.parametrize("name", ["patch.json", "patch.safetensors", "manifest.json"])
def test_a_damaged_patch_is_refused_or_gives_the_same_model(tmp_path, name):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "whole", top=40)
    restore(base, tuned, tmp_path / "p", as_patch=True, patch_values=name != "patch.json", top=40)
    path = tmp_path / "p" / name
    whole, stream = path.read_bytes(), np.random.default_rng(0)
    wanted = (tmp_path / "whole" / "model.safetensors").read_bytes()
    refused = 0
    for number in range(60):
        content = bytearray(whole)
        content[stream.integers(len(content))] ^= 1 << int(stream.integers(8))
        path.write_bytes(content if number % 3 else content[: stream.integers(len(content))])
        out = tmp_path / f"o{number}"
        try:
            rebuild(tmp_path / "p", base, tuned, out)
        except SixtyfoldError:
            refused += 1
            assert not list(out.glob("*.safetensors"))
            assert not (out / "config.json").exists()
        else:
            assert (out / "model.safetensors").read_bytes() == wanted
    assert refused >= 20


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 2}', '{"format": 1, "form": "x"}'])
def test_a_patch_file_that_is_none_is_corrupted(tmp_path, text):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "p", as_patch=True)
    (tmp_path / "p" / "patch.json").write_text(text)
    with pytest.raises(Corrupted, match=r"patch.json"):
        rebuild(tmp_path / "p", base, tuned, tmp_path / "o")


def test_what_is_no_patch_is_refused(tmp_path):
    base, tuned = write_pair(tmp_path)
    with pytest.raises(IncompleteInput, match="there is no directory"):
        rebuild(tmp_path / "none", base, tuned, tmp_path / "o")
    restore(base, tuned, tmp_path / "whole")
    with pytest.raises(IncompleteInput, match=r"no file .*patch.json"):
        rebuild(tmp_path / "whole", base, tuned, tmp_path / "o")
    restore(base, tuned, tmp_path / "p", as_patch=True)
    for out in (base, tuned, tmp_path / "p"):
        with pytest.raises(BadInput, match="is one of the inputs"):
            rebuild(tmp_path / "p", base, tuned, out)


def test_a_patch_given_as_a_model_says_how_to_rebuild_it(tmp_path):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "p", as_patch=True)
    with pytest.raises(BadInput, match=r"is a patch, no model; 'sixtyfold rebuild --patch"):
        find_pair(str(base), str(tmp_path / "p"))


def test_on_the_command_line_and_from_python(tmp_path, capsys):
    base, tuned = write_pair(tmp_path)
    pair = ["--base", str(base), "--tuned", str(tuned)]
    patch, out = tmp_path / "p", tmp_path / "o"
    assert run_command(["restore", *pair, "--as-patch", "--out", str(patch)]) == 0
    assert run_command(["rebuild", "--patch", str(patch), *pair, "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out.splitlines()[-1]
    again = sixtyfold.rebuild(patch=patch, base=str(base), tuned=str(tuned), out=tmp_path / "o2")
    assert_same_model(out, again.path)
    wrong = ["--base", str(tuned), "--tuned", str(tuned), "--out", str(tmp_path / "o3")]
    assert run_command(["rebuild", "--patch", str(patch), *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_values_go_with_a_patch(tmp_path):
    with pytest.raises(ValueError, match="--patch-values was given alone"):
        RestoreSpec(tuned="t", out=tmp_path, patch_values=True)


def test_finished_patches_and_models_are_given_again(tmp_path):
    base, tuned = write_pair(tmp_path)
    first = restore(base, tuned, tmp_path / "p", as_patch=True)
    assert restore(base, tuned, tmp_path / "p", as_patch=True).manifest == first.manifest
    with pytest.raises(OtherResult, match="as_patch"):
        restore(base, tuned, tmp_path / "p")
    made = rebuild(tmp_path / "p", base, tuned, tmp_path / "o")
    shutil.move(tmp_path / "p", tmp_path / "elsewhere")
    assert rebuild(tmp_path / "elsewhere", base, tuned, tmp_path / "o").manifest == made.manifest


def test_plan_says_form_and_bytes(tmp_path):
    base, tuned = write_pair(tmp_path)
    of_patch = RestoreSpec(base=str(base), tuned=str(tuned), out=tmp_path / "p", as_patch=True)
    assert plan(of_patch)["bytes"] is None
    assert not (tmp_path / "p").exists()
    restore(base, tuned, tmp_path / "p", as_patch=True)
    spec = RebuildSpec(patch=tmp_path / "p", base=str(base), tuned=str(tuned), out=tmp_path / "o")
    size = (tuned / "model.safetensors").stat().st_size
    assert rebuild_plan(spec) == {"form": "threshold", "bytes": size}
    assert not (tmp_path / "o").exists()


def test_a_full_disk_leaves_no_patch(tmp_path, monkeypatch):
    base, tuned = write_pair(tmp_path)

    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(patch_values.ValuesWriter, "finish", full)
    with pytest.raises((BadInput, OSError), match=r"disk|No space"):
        restore(base, tuned, tmp_path / "p", as_patch=True, patch_values=True)
    assert {path.name for path in (tmp_path / "p").iterdir()} == {"plan.json", ".lock"}


def change(patch, **parts):
    """Write other parts into a patch."""
    content = json.loads((patch / "patch.json").read_text())
    (patch / "patch.json").write_text(json.dumps({**content, **parts}))


@pytest.mark.parametrize("name", ["../victim", "/absolute/victim", "other.safetensors"])
def test_a_patch_touches_only_the_weight_files_of_its_models(tmp_path, name):
    """A patch is downloaded text: what it names must not be read, and above all not removed."""
    base, tuned = write_pair(tmp_path)
    made = restore(base, tuned, tmp_path / "p", as_patch=True)
    victim = tmp_path / "victim"
    victim.write_text("dear")
    name = str(victim) if name.startswith("/") else name
    change(made.path, files={**made.json("patch")["files"], name: "0" * 64})
    with pytest.raises(Corrupted, match="has other weight files than its models make"):
        rebuild(tmp_path / "p", base, tuned, tmp_path / "o")
    assert victim.read_text() == "dear"
    assert not list((tmp_path / "o").glob("*.safetensors"))


def test_a_patch_without_hashes_is_no_way_around_them(tmp_path):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "p", as_patch=True)
    change(tmp_path / "p", files={})
    with pytest.raises(Corrupted, match="has other weight files"):
        rebuild(tmp_path / "p", base, tuned, tmp_path / "o")


@pytest.mark.parametrize(
    "parts",
    [
        {"files": [1]},
        {"files": {"model.safetensors": 3}},
        {"recipe": [1]},
        {"form": [1]},
        {"form": "other"},
        {"form": "factor", "recipe": {"region": "all", "alpha": "x"}},
        {"form": "factor", "recipe": {"region": "all", "alpha": None}},
        {"recipe": {"region": "all", "rule": "relative", "seed": float("inf"), "cuts": [
            {"tensors": [], "ends": {}, "number": 1, "key": 1}]}},
    ],
)  # fmt: skip
def test_parts_of_another_kind_are_one_line(tmp_path, parts):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "p", as_patch=True)
    change(tmp_path / "p", **parts)
    with pytest.raises(Corrupted, match=r"patch.json (is no patch|does not fit)"):
        rebuild(tmp_path / "p", base, tuned, tmp_path / "o")


def test_a_patch_without_its_table_is_told_before_anything_is_written(tmp_path):
    base, tuned = write_pair(tmp_path)
    made = restore(base, tuned, tmp_path / "p", as_patch=True)
    (made.path / "restored_weights.parquet").unlink()
    with pytest.raises(BadInput, match="there is no table"):
        rebuild(tmp_path / "p", base, tuned, tmp_path / "o")
    assert not (tmp_path / "o").exists()
