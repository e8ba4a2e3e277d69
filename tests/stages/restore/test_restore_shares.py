"""Several shares in one pass: each checkpoint is the one that a run of its own writes."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from made_up_checkpoints import (
    LLAMA_SHAPES,
    moved,
    random_values,
    raw_weights,
    write_checkpoint,
    write_pair,
)
from sixtyfold.core.errors import BadInput, Corrupted, OtherResult
from sixtyfold.core.tensor_names import place
from sixtyfold.stages.restore import run as stage
from sixtyfold.stages.restore import write
from sixtyfold.stages.restore.alternatives import FAMILIES
from sixtyfold.stages.restore.run import plan, run
from sixtyfold.stages.restore.spec import RestoreSpec

ONE_RESULT = {".lock", "timings.json"}  # what may differ between equal runs


def restore(base, tuned, out, **options):
    return run(RestoreSpec.parse({"base": str(base), "tuned": str(tuned), "out": out, **options}))


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def same_results(one, other):
    found, expected = files(one), files(other)
    assert set(found) == set(expected)
    for name in set(expected) - ONE_RESULT:
        assert found[name] == expected[name], name


@pytest.mark.parametrize("scope", ["model", "layer", "tensor"])
@pytest.mark.parametrize("rule", ["relative", "random"])
def test_each_is_what_a_run_of_its_own_writes(tmp_path, rule, scope):
    base, tuned = write_pair(tmp_path, dtype="BF16", shards=2)
    options = {"rule": rule, "scope": scope, "region": "all"}
    done = restore(base, tuned, tmp_path / "all", top="60,1,20.5", **options)
    table = done.table("restored_shares")
    assert table["path"].to_list() == ["top-1", "top-20.5", "top-60"]
    for row in table.iter_rows(named=True):
        single = restore(base, tuned, tmp_path / row["path"], top=row["top"], **options)
        same_results(tmp_path / "all" / row["path"], single.path)
        assert single.manifest["restored"]["restored"] == row["restored"]


def test_larger_shares_contain_smaller_ones(tmp_path):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "all", top="1,5,20,60,100")
    before, after = raw_weights(base), raw_weights(tuned)
    last = dict.fromkeys(before, np.False_)
    for top in (1, 5, 20, 60, 100):
        for name, weights in raw_weights(tmp_path / "all" / f"top-{top}").items():
            restored = (weights == before[name]) & (before[name] != after[name])
            assert (restored | ~last[name]).all()
            last[name] = restored
    assert all(
        last[name].sum() == (before[name] != after[name]).sum()
        for name in last
        if place(name).inside("transformer")
    )


def test_ranks_once(tmp_path, monkeypatch):
    base, tuned = write_pair(tmp_path)
    ranked = []
    original = stage.NestedCuts.of

    def counted(region, rankings, percents):
        ranked.append(list(percents))
        return original(region, rankings, percents)

    monkeypatch.setattr(stage.NestedCuts, "of", counted)
    restore(base, tuned, tmp_path / "all", top="1,5,20")
    assert ranked == [[1, 5, 20]]
    restore(base, tuned, tmp_path / "all", top="1,5,20")
    assert len(ranked) == 1


def test_killed_between_shards_continues(tmp_path, monkeypatch):
    base = random_values()
    write_checkpoint(tmp_path / "b", base, shards=3)
    write_checkpoint(tmp_path / "t", moved(base), shards=3)
    whole = restore(tmp_path / "b", tmp_path / "t", tmp_path / "whole", top="10,40")
    started = []
    original = write._write_file

    def die_at_the_second(file, *rest):
        started.append(file.name)
        if len(started) == 2:
            raise KeyboardInterrupt
        return original(file, *rest)

    monkeypatch.setattr(write, "_write_file", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", top="10,40")
    assert not list((tmp_path / "out").rglob("config.json"))
    assert not list((tmp_path / "out").rglob("manifest.json"))
    done = restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", top="10,40")
    assert len(started) == len(set(started)) + 1 == 4
    assert done.manifest == whole.manifest
    for name in ("top-10", "top-40"):
        same_results(tmp_path / "out" / name, tmp_path / "whole" / name)


def test_a_checkpoint_that_is_there_is_kept(tmp_path):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "out" / "top-5", top=5)
    stamp = (tmp_path / "out" / "top-5" / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(OtherResult, match="choose another --out"):
        restore(base, tuned, tmp_path / "out", top="5,10")
    restore(base, tuned, tmp_path / "all", top="5,10")
    (tmp_path / "all" / "manifest.json").unlink()
    for path in (tmp_path / "all" / "top-10").iterdir():
        path.unlink()
    first = tmp_path / "all" / "top-5" / "model.safetensors"
    first_stamp = first.stat().st_mtime_ns
    restore(base, tuned, tmp_path / "all", top="5,10")
    assert first.stat().st_mtime_ns == first_stamp
    assert (tmp_path / "out" / "top-5" / "model.safetensors").stat().st_mtime_ns == stamp
    assert (tmp_path / "all" / "top-10" / "manifest.json").is_file()


def test_finished_but_cut_short_is_noticed(tmp_path):
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "out")
    weights = tmp_path / "out" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(Corrupted, match="not a complete safetensors file"):
        restore(base, tuned, tmp_path / "out")


def test_hash_taken_while_writing_is_that_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("sixtyfold.core.fingerprint._MEMO_FROM_BYTES", 0)
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    base, tuned = write_pair(tmp_path, shards=2)
    done = restore(base, tuned, tmp_path / "out")
    for name, digest in done.manifest["files"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("rule", sorted(FAMILIES))
def test_any_family_at_a_remaining_norm(tmp_path, rule):
    shapes = {
        f"model.layers.{layer}.mlp.{name}_proj.weight": (60, 50)
        for layer in range(4)
        for name in ("up", "down")
    }
    base = random_values(shapes=shapes)
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", moved(base))
    done = restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", rule=rule, remaining=0.8)
    before, after, got = (raw_weights(tmp_path / each) for each in ("b", "t", "out"))
    whole, left = (
        math.sqrt(sum(np.square((each[name] - before[name]).astype(float)).sum() for name in each))
        for each in (after, got)
    )
    assert done.manifest["restored"]["remaining_norm"] == pytest.approx(left, rel=1e-5)
    assert done.manifest["notes"] or left / whole == pytest.approx(0.8, rel=1e-3)


@pytest.mark.parametrize("layers", ["1", "0-1", "0"])
def test_only_these_layers(tmp_path, layers):
    base, tuned = write_pair(tmp_path)
    done = restore(base, tuned, tmp_path / "out", layers=layers, top=100)
    wanted = {"1": {1}, "0-1": {0, 1}, "0": {0}}[layers]
    before, after = raw_weights(base), raw_weights(tuned)
    for name, weights in raw_weights(tmp_path / "out").items():
        spot = place(name)
        inside = spot.inside("transformer") and spot.layer in wanted
        assert np.array_equal(weights, (before if inside else after)[name])
    assert set(done.table("restored_weights")["layer"]) == wanted


def test_plan_counts_every_share(tmp_path):
    base, tuned = write_pair(tmp_path)
    options = {"base": str(base), "tuned": str(tuned), "out": tmp_path / "out", "top": "20,60"}
    sizes = [int(np.prod(shape)) for name, shape in LLAMA_SHAPES.items()
             if place(name).inside("transformer")]  # fmt: skip
    for scope in ("model", "tensor"):
        groups = [sum(sizes)] if scope == "model" else sizes
        assert plan(RestoreSpec.parse({**options, "scope": scope})) == {
            "region_weights": sum(sizes),
            "bytes": 2 * (tuned / "model.safetensors").stat().st_size,
            "restored": [sum(round(share * size) for size in groups) for share in (0.2, 0.6)],
        }


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"top": "1,x"}, "percentages are given as 20 or as 1,3,5"),
        ({"top": "1,101"}, "a percentage is 0 to 100"),
        ({"top": "5,5.0"}, "each percentage is given once"),
        ({"top": ""}, "percentages are given as 20 or as 1,3,5"),
        ({"layers": "8-"}, "layers are given as 8-15 or 0,4-7"),
        ({"layers": "1", "region": "mlp:1"}, "layers are given twice"),
        ({"top": "1,2", "rule": "interpolation", "alpha": 0.5}, "by --alpha or --remaining"),
        ({"top": 20, "rule": "interpolation", "alpha": 0.5}, "goes with the rules that rank"),
        ({"top": 10, "rule": "dare", "remaining": 0.5}, "--remaining stands for --top"),
        ({"top": 10, "rule": "dare"}, "set 'dare' by --remaining"),
        ({"scope": "layer", "rule": "interpolation", "alpha": 0.5}, "--scope goes with --top"),
        ({"scope": "layer", "rule": "dare", "remaining": 0.5}, "--scope goes with --top"),
        ({"rule": "dare"}, "the rule 'dare' is set by --remaining, which is missing"),
        ({"rule": "dare", "alpha": 0.5}, "alpha was given as 0.5 with the rule 'dare'"),
        ({"rule": "interpolation"}, "or --remaining"),
        ({"remaining": 0.5, "top": 5}, "stands for --top or --alpha; give one"),
        ({"remaining": 0.5, "scope": "layer"}, "--scope goes with --top"),
        ({"remaining": 1.5}, "less than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, options, reason):
    with pytest.raises(BadInput, match=reason):
        RestoreSpec.parse({"tuned": "t", "out": tmp_path, **options})


def test_one_share_in_a_list_is_that_share(tmp_path):
    given = [
        RestoreSpec.parse({"tuned": "t", "out": tmp_path, "top": top}) for top in (20, "20", "2e1")
    ]
    assert [each.top for each in given] == [20.0] * 3
    assert {each.percents for each in given} == {(20.0,)}


def test_shares_from_python_may_be_a_list(tmp_path):
    spec = RestoreSpec.parse({"tuned": "t", "out": tmp_path, "top": [1, 2.5, 100 / 3]})
    assert spec.percents == (1.0, 2.5, 100 / 3)
    assert [each.out.name for each in spec.each()][:2] == ["top-1", "top-2.5"]
    assert [each.percents for each in spec.each()] == [(1.0,), (2.5,), (100 / 3,)]
    with pytest.raises(BadInput, match="a percentage is 0 to 100"):
        RestoreSpec.parse({"tuned": "t", "out": tmp_path, "top": []})
