"""How strong a restoration is: what is given, what lies on the disk, and what is said about it."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from made_up_checkpoints import (
    float_weights,
    moved,
    random_values,
    write_checkpoint,
    write_file,
    write_pair,
)
from sixtyfold.arguments import read
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.stages.restore.alternatives import FAMILIES
from sixtyfold.stages.restore.candidates import SAME_NORM
from sixtyfold.stages.restore.names import RuleName
from sixtyfold.stages.restore.run import run
from sixtyfold.stages.restore.spec import RestoreSpec

SHAPES = {
    f"model.layers.{layer}.mlp.{name}_proj.weight": (120, 50)
    for layer in range(4)
    for name in ("up", "down")
}
RULES = get_args(RuleName)
NEW_WEIGHTS = sorted({*FAMILIES} - {*RULES, "ties", "breadcrumbs", "breadcrumbs-model"})


def restore(base, tuned, out, **options):
    return run(RestoreSpec.parse({"base": str(base), "tuned": str(tuned), "out": out, **options}))


def typed(words):
    return read("restore", RestoreSpec, f"--tuned t --out o {words}".split()).spec


@pytest.mark.parametrize("rule", sorted(FAMILIES))
def test_every_rule_takes_a_norm_on_the_command_line(rule):
    spec = typed(f"--rule {rule} --remaining 0.8")
    assert (spec.rule, spec.remaining, spec.top, spec.percents) == (rule, 0.8, None, ())
    assert [each.out for each in spec.each()] == [spec.out]


def test_the_paper_s_share_unless_something_else_is_given():
    assert typed("").percents == (10.0,)
    assert typed("--rule random").percents == (10.0,)
    assert typed("--rule interpolation --alpha 0.5").percents == ()
    assert RestoreSpec.parse({"tuned": "t", "out": "o"}).recorded()["top"] == 10.0


def norm(directory, base):
    weights, before = float_weights(directory), float_weights(base)
    return math.sqrt(sum(np.square((weights[n] - before[n]).astype(float)).sum() for n in SHAPES))


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("rule", sorted(FAMILIES))
def test_the_norm_that_is_told_is_that_of_the_files(tmp_path, rule, dtype):
    """In 16 bits a shrunken update is rounded, often back to what it was."""
    base = random_values(shapes=SHAPES)
    write_checkpoint(tmp_path / "b", base, dtype)
    write_checkpoint(tmp_path / "t", moved(base, scale=1e-4), dtype)
    done = restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", rule=rule, remaining=0.8)
    left, whole = (norm(tmp_path / each, tmp_path / "b") for each in ("out", "t"))
    assert done.manifest["restored"]["remaining_norm"] == pytest.approx(left, rel=1e-6)
    if abs(left / whole - 0.8) <= SAME_NORM * 0.8:
        assert done.manifest["notes"] == []
    else:
        (note,) = done.manifest["notes"]
        assert f"leaves {left / whole:.4f} of the update's norm where 0.8000 is wanted" in note
    if dtype == "BF16" and rule in NEW_WEIGHTS:
        assert "its weights are rounded to BF16" in note


@pytest.mark.parametrize("rule", sorted({*FAMILIES} - {"lines"}))
def test_nothing_left_is_met_without_a_note(tmp_path, rule):
    stream = np.random.default_rng(0)
    base = random_values(shapes=SHAPES)
    tuned = {  # sizes far apart, so that sums in two orders differ in the last bits
        name: each + np.exp(stream.normal(-9, 3, each.shape)).astype(np.float32)
        for name, each in base.items()
    }
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", tuned)
    done = restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", rule=rule, remaining=0)
    assert done.manifest["restored"]["remaining_norm"] == 0.0
    assert done.manifest["notes"] == []
    got, before = float_weights(tmp_path / "out"), float_weights(tmp_path / "b")
    assert all(np.array_equal(got[name], each) for name, each in before.items())


@pytest.mark.parametrize("side", ["base", "tuned"])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_weights_are_not_interpolated(tmp_path, side, alpha, broken):
    base = random_values()
    values = {"base": base, "tuned": moved(base)}
    name = "model.layers.1.mlp.up_proj.weight"
    values[side][name] = values[side][name].copy()
    values[side][name][2, 1] = broken
    for each, weights in values.items():
        write_checkpoint(tmp_path / each, weights)
    out = tmp_path / "out"
    options = {"rule": "interpolation", "alpha": alpha}
    with pytest.raises(Corrupted, match=f"'{name}' holds NaN or infinite"):
        restore(tmp_path / "base", tmp_path / "tuned", out, **options)
    assert {path.name for path in out.iterdir()} == {"plan.json", ".lock"}


def test_float64_base_weights_that_float32_cannot_hold_are_counted(tmp_path):
    base = {name: each.astype(np.float64) for name, each in random_values(shapes=SHAPES).items()}
    write_checkpoint(tmp_path / "t", moved(base))
    name = next(iter(base))
    base[name][:3, 0] += 1e-12
    write_doubles(tmp_path / "b", base)
    done = restore(tmp_path / "b", tmp_path / "t", tmp_path / "out")
    assert done.manifest["restored"]["inexact"] == 3
    base[name][3, 0] = 1e300
    write_doubles(tmp_path / "huge", base)
    with pytest.raises(BadInput, match=f"'{name}': base weights .F64. are beyond the range"):
        restore(tmp_path / "huge", tmp_path / "t", tmp_path / "other")


def write_doubles(directory, values):
    write_checkpoint(directory, {})
    write_file(directory / "model.safetensors", {n: ("F64", each) for n, each in values.items()})


def test_half_a_file_of_a_killed_run_with_other_options_is_removed(tmp_path):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "out", top=20, as_patch=True)
    whole = {path.name for path in (tmp_path / "out").iterdir()}
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    (tmp_path / "out" / ".model.safetensors.partial").write_bytes(b"half")
    restore(base, tuned, tmp_path / "out", top=20, as_patch=True)
    assert {path.name for path in (tmp_path / "out").iterdir()} == whole


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"rule": "interpolation", "alpha": 0.5}, "outside the region"),
        ({"rule": "dare", "remaining": 0.5}, "outside the region"),
        ({"rule": "absolute", "remaining": 0.5}, "that were not put back"),
        ({"top": 30}, "that were not put back"),
    ],
)
def test_the_card_says_which_weights_are_tuned(tmp_path, options, kept):
    base, tuned = write_pair(tmp_path)
    done = restore(base, tuned, tmp_path / "out", **options)
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"Weights {kept} are the tuned model's bit for bit." in card
    assert all(note in card for note in done.manifest["notes"])
