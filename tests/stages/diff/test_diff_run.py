from __future__ import annotations

import numpy as np
import pytest

from made_up_checkpoints import (
    LLAMA_SHAPES,
    float_weights,
    moved,
    random_values,
    write_checkpoint,
    write_pair,
)
from sixtyfold.core.errors import Corrupted
from sixtyfold.stages.diff import run as stage
from sixtyfold.stages.diff.changes import CHANGES_SCHEMA
from sixtyfold.stages.diff.run import plan, run
from sixtyfold.stages.diff.spec import DiffSpec

TABLES = ("weight_changes", "concentration", "places")


def diff(base, tuned, out, **options):
    return run(DiffSpec(base=str(base), tuned=str(tuned), out=out, **options))


def test_rows_equal_plain_numpy(tmp_path):
    base, tuned = write_pair(tmp_path)
    done = diff(base, tuned, tmp_path / "out")
    before, after = float_weights(base), float_weights(tuned)
    table = done.table("weight_changes")
    assert table.schema == CHANGES_SCHEMA
    assert table["tensor"].to_list() == sorted(LLAMA_SHAPES)
    for row in table.to_dicts():
        old, change = before[row["tensor"]], after[row["tensor"]] - before[row["tensor"]]
        assert row["changed"] == np.count_nonzero(change)
        assert row["sum_abs"] == pytest.approx(np.abs(np.float64(change)).sum())
        assert row["sum_squared"] == pytest.approx(np.square(np.float64(change)).sum())
        relative = np.abs(change) / (np.abs(old) + np.float32(1e-8))
        assert row["sum_relative"] == pytest.approx(np.float64(relative).sum())
    blocks = dict(zip(table["tensor"], table["block"], strict=True))
    assert blocks["model.layers.0.self_attn.q_proj.bias"] == "q"
    region = table.filter("in_region")
    assert set(region["block"]) == {"up", "down", "q", "o"}
    totals = done.json("changes")
    assert totals["weights"] == region["numel"].sum() == 108
    assert totals["share_changed"] == region["changed"].sum() / 108
    assert totals["update_norm"] == pytest.approx(np.sqrt(region["sum_squared"].sum()))


@pytest.mark.parametrize("layout", [{"shards": 3}, {"dtype": "BF16"}])
def test_layout_does_not_change_the_tables(tmp_path, layout):
    base = random_values()
    tuned = moved(base, scale=1e-2)
    dtype = layout.get("dtype", "F32")
    write_checkpoint(tmp_path / "b", base, dtype)
    write_checkpoint(tmp_path / "t", tuned, dtype)
    write_checkpoint(tmp_path / "b2", base, **layout)
    write_checkpoint(tmp_path / "t2", tuned, **layout)
    one = diff(tmp_path / "b", tmp_path / "t", tmp_path / "one")
    other = diff(tmp_path / "b2", tmp_path / "t2", tmp_path / "other")
    for name in TABLES:
        assert one.table(name).equals(other.table(name))


def test_killed_between_parts_continues_to_the_same_bytes(tmp_path, monkeypatch):
    base, tuned = write_pair(tmp_path)
    monkeypatch.setattr(stage, "WEIGHTS_PER_PART", 30)
    whole = diff(base, tuned, tmp_path / "whole")
    original, seen = stage.tensor_changes, []

    def die_at_the_fifth(tensor, seed, *, in_region):
        seen.append(tensor.name)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return original(tensor, seed, in_region=in_region)

    monkeypatch.setattr(stage, "tensor_changes", die_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        diff(base, tuned, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    diff(base, tuned, tmp_path / "out")
    assert len(seen) < 2 * len(LLAMA_SHAPES)
    for name in ("manifest.json", "changes.json", *(f"{name}.parquet" for name in TABLES)):
        assert (tmp_path / "out" / name).read_bytes() == (whole.path / name).read_bytes()


def test_seed_moves_the_permutation_alone(tmp_path):
    base, tuned = write_pair(tmp_path)
    one = diff(base, tuned, tmp_path / "one").table("concentration")
    other = diff(base, tuned, tmp_path / "other", seed=1).table("concentration")
    assert one.drop("null_permutation").equals(other.drop("null_permutation"))
    assert not one["null_permutation"].equals(other["null_permutation"])


def test_equal_models(tmp_path):
    base, _ = write_pair(tmp_path)
    done = diff(base, base, tmp_path / "out")
    assert done.json("changes")["changed"] == 0
    assert done.table("concentration")["share"].null_count() == 21


def test_nan_is_refused_by_name(tmp_path):
    base = random_values()
    broken = {**base, "model.norm.weight": np.float32([1, np.nan, 1, 1])}
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", broken)
    with pytest.raises(Corrupted, match=r"'model\.norm\.weight' holds NaN"):
        diff(tmp_path / "b", tmp_path / "t", tmp_path / "out")


def test_plan_counts_without_writing(tmp_path):
    base, tuned = write_pair(tmp_path)
    spec = DiffSpec(base=str(base), tuned=str(tuned), out=tmp_path / "out")
    weights = sum(int(np.prod(shape)) for shape in LLAMA_SHAPES.values())
    assert plan(spec) == {"tensors": 9, "weights": weights, "region_weights": 108, "parts": 1}
    assert not (tmp_path / "out").exists()
