from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from made_up_checkpoints import (
    LLAMA_SHAPES,
    float_weights,
    moved,
    random_values,
    write_checkpoint,
    write_file,
    write_pair,
)
from sixtyfold.core.errors import BadInput, Corrupted, OtherResult
from sixtyfold.stages.diff import run as stage
from sixtyfold.stages.diff.changes import CHANGES_SCHEMA
from sixtyfold.stages.diff.run import plan, run
from sixtyfold.stages.diff.spec import DiffSpec

TABLES = ("weight_changes", "weight_groups", "concentration", "group_concentration", "places")


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

    def die_at_the_fifth(tensor, seed, **options):
        seen.append(tensor.name)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return original(tensor, seed, **options)

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


def three(folder):
    base, tuned = write_pair(folder)
    other = write_checkpoint(folder / "other", moved(random_values(), seed=5))
    return base, tuned, {"spectrum": True, "other": str(other), "papers_rounding": True}


def test_groups_are_the_sums_of_their_tensors(tmp_path):
    done = diff(*write_pair(tmp_path), tmp_path / "out")
    tensors = done.table("weight_changes").to_dicts()
    members = {
        ("model", "all"): lambda row: True,
        ("region", "all"): lambda row: row["in_region"],
        ("layer", "0"): lambda row: row["layer"] == 0,
        ("layer", "1"): lambda row: row["layer"] == 1,
        ("layer", "none"): lambda row: row["layer"] is None,
        **{("block", name): lambda row, name=name: row["block"] == name
           for name in ("embedding", "norm", "down", "up", "q", "o")},
    }  # fmt: skip
    groups = {(row["split"], row["group"]): row for row in done.table("weight_groups").to_dicts()}
    assert groups.keys() == members.keys()
    whole = sum(row["sum_squared"] for row in tensors)
    for key, inside in members.items():
        rows = [row for row in tensors if inside(row)]
        found = groups[key]
        total = {name: sum(row[name] for row in rows) for name in
                 ("numel", "changed", "sum_abs", "sum_squared", "sum_relative",
                  "sum_base_squared")}  # fmt: skip
        for name, value in total.items():
            assert found[name] == pytest.approx(value)
        assert found["share_changed"] == pytest.approx(total["changed"] / total["numel"])
        assert found["mean_abs"] == pytest.approx(total["sum_abs"] / total["numel"])
        assert found["rms"] == pytest.approx((total["sum_squared"] / total["numel"]) ** 0.5)
        assert found["mean_relative"] == pytest.approx(total["sum_relative"] / total["numel"])
        norm = (total["sum_squared"] / total["sum_base_squared"]) ** 0.5
        assert found["relative_norm"] == pytest.approx(norm)
        assert found["share_of_squared"] == pytest.approx(total["sum_squared"] / whole)


def test_top_is_a_choice(tmp_path):
    base, tuned = write_pair(tmp_path)
    done = diff(base, tuned, tmp_path / "out", top="50,2,50")
    for name in ("concentration", "group_concentration", "places"):
        assert sorted(set(done.table(name)["top_percent"])) == [2, 50]
    assert DiffSpec.parse({"tuned": "t", "out": "o", "top": 12.3456789}).percents == (12.3456789,)


def test_everything_continues_to_the_same_bytes(tmp_path, monkeypatch):
    base, tuned, options = three(tmp_path)
    monkeypatch.setattr(stage, "WEIGHTS_PER_PART", 30)
    whole = diff(base, tuned, tmp_path / "whole", **options)
    names = {path.name for path in whole.path.iterdir()}
    assert {"spectrum.parquet", "overlap.parquet", "overlap.json"} <= names
    assert whole.manifest["no_matrices"] == 1
    for where in ("spectrum_row", "overlap", "concentration"):
        out = tmp_path / where
        with monkeypatch.context() as patch:
            patch.setattr(stage, where, _die)
            with pytest.raises(KeyboardInterrupt):
                diff(base, tuned, out, **options)
        assert not (out / "manifest.json").exists()
        diff(base, tuned, out, **options)
        assert {path.name for path in out.iterdir()} == names
        for name in names - {"timings.json"}:
            assert (out / name).read_bytes() == (whole.path / name).read_bytes()


def _die(*_, **__):
    raise KeyboardInterrupt


def test_another_other_is_another_result(tmp_path):
    base, tuned, options = three(tmp_path)
    diff(base, tuned, tmp_path / "out", **options)
    with pytest.raises(OtherResult, match="other"):
        diff(base, tuned, tmp_path / "out", **{**options, "other": str(tuned)})


def test_plan_counts_what_options_add(tmp_path):
    base, tuned, options = three(tmp_path)
    spec = DiffSpec(base=str(base), tuned=str(tuned), out=tmp_path / "out", **options)
    found = plan(spec)
    assert (found["matrices"], found["tensors_of_the_other"]) == (5, 6)


def test_an_other_of_another_base_is_refused_before_any_work(tmp_path):
    base, tuned = write_pair(tmp_path)
    stranger = write_checkpoint(tmp_path / "s", random_values(shapes={"model.x.weight": (2, 2)}))
    with pytest.raises(BadInput):
        diff(base, tuned, tmp_path / "out", other=str(stranger))
    assert not (tmp_path / "out" / "parts").exists()


def test_torch_is_not_imported():
    code = (
        "import sys, sixtyfold.stages.diff.run, sixtyfold.stages.diff.words;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_layers_limit_the_region(tmp_path):
    base, tuned = write_pair(tmp_path)
    done = diff(base, tuned, tmp_path / "out", layers="1")
    changes = done.table("weight_changes")
    assert changes.height == len(LLAMA_SHAPES)
    assert set(changes.filter("in_region")["layer"]) == {1}
    assert set(done.table("places")["layer"]) == {1}


def test_an_adapter_is_an_update_of_its_rank(tmp_path):
    stream = np.random.default_rng(0)
    name = "model.layers.0.mlp.up_proj.weight"
    base = {name: stream.standard_normal((40, 30)).astype(np.float32)}
    first, second = (
        stream.standard_normal(shape).astype(np.float32) for shape in ((3, 30), (40, 3))
    )
    write_checkpoint(tmp_path / "b", base)
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    key = "base_model.model.model.layers.0.mlp.up_proj.lora_{}.weight"
    write_file(adapter / "adapter_model.safetensors",
               {key.format("A"): ("F32", first), key.format("B"): ("F32", second)})  # fmt: skip
    settings = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_modules": ["up_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    done = diff(tmp_path / "b", adapter, tmp_path / "out", spectrum=True)
    (row,) = done.table("spectrum").to_dicts()
    assert row["sum_squared"] == pytest.approx(np.square(2 * second @ first).sum(), rel=1e-4)
    assert row["share_2"] < 0.99
    assert row["share_4"] == pytest.approx(1)
