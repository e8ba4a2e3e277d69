"""Patches: small, complete, and the same checkpoint bit for bit when it is made again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from made_up_checkpoints import (
    LLAMA_SHAPES,
    in_dtype,
    moved,
    random_values,
    write_checkpoint,
    write_file,
    write_pair,
)
from restored_models import assert_same_model, rebuild, restore
from sixtyfold.core import checkpoint_pair
from sixtyfold.stages.restore import patch_values, write
from sixtyfold.stages.restore.patch import Patch
from sixtyfold.stages.restore.patch_values import gaps_of, positions_of


def both_ways(folder: Path, base: Path, tuned: Path, **options) -> Path:
    """Restore, and restore as a patch; check that rebuilding gives the same; return the patch."""
    restore(base, tuned, folder / "whole", **options)
    for name, values in (("patch", False), ("values", True)):
        made = restore(base, tuned, folder / name, as_patch=True, patch_values=values, **options)
        assert not list(made.path.glob("model*"))
        assert not (made.path / "config.json").exists()
        done = rebuild(folder / name, base, tuned, folder / f"again-{name}")
        assert_same_model(folder / "whole", done.path)
    return folder / "patch"


RULES = ["relative", "absolute", "random", "smallest"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["F32", "BF16"])
def test_every_rule_is_rebuilt_bit_for_bit(tmp_path, rule, dtype):
    base, tuned = write_pair(tmp_path, dtype=dtype, shards=2)
    (tuned / "tokenizer.json").write_text("{}")
    patch = both_ways(tmp_path, base, tuned, rule=rule, top=23, seed=4)
    assert Patch.read(patch).form == "threshold"
    assert set(Patch.read(patch).files) == {f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}


@pytest.mark.parametrize(
    "options",
    [
        {"scope": "tensor"},
        {"scope": "layer"},
        {"region": "all", "top": 60},
        {"region": "embeddings"},
        {"layers": "1", "top": 50},
        {"top": 0},
        {"top": 100},
        {"rule": "interpolation", "alpha": 0.3},
        {"rule": "interpolation", "alpha": 0},
    ],
    ids=str,
)
def test_every_option_is_rebuilt_bit_for_bit(tmp_path, options):
    base, tuned = write_pair(tmp_path)
    both_ways(tmp_path, base, tuned, **options)


@pytest.mark.parametrize("chunk", [5, 7, 1 << 18])
def test_ties_zero_updates_and_other_dtypes_are_rebuilt(tmp_path, monkeypatch, chunk):
    """Weights of few distinct values: most scores tie, and the cut goes through the ties."""
    monkeypatch.setattr(checkpoint_pair, "CHUNK", chunk)
    monkeypatch.setattr(write, "CHUNK", chunk)
    monkeypatch.setattr(patch_values, "CHUNK", chunk)
    stream = np.random.default_rng(3)
    base = {
        name: stream.choice([-1.0, 0.0, 0.5, 1.0], shape) for name, shape in LLAMA_SHAPES.items()
    }
    tuned = {name: each + stream.choice([0, 0.25], each.shape) for name, each in base.items()}
    write_checkpoint(tmp_path / "b", base, "BF16")
    write_checkpoint(tmp_path / "t", tuned, "F16", shards=3)
    both_ways(tmp_path, tmp_path / "b", tmp_path / "t", top=37)


def test_tied_heads_and_added_rows_are_rebuilt(tmp_path):
    base = random_values()
    grown = np.concatenate([base["model.embed_tokens.weight"] + 1, np.full((3, 4), 7, np.float32)])
    for folder, values, embedding in (
        ("b", base, base["model.embed_tokens.weight"]),
        ("t", moved(base), grown),
    ):
        more = {"model.embed_tokens.weight": embedding, "lm_head.weight": embedding}
        write_checkpoint(tmp_path / folder, {**values, **more})
    both_ways(tmp_path, tmp_path / "b", tmp_path / "t", region="all", top=50)


def test_adapters_are_rebuilt(tmp_path):
    base = write_checkpoint(tmp_path / "b", random_values())
    adapter = tmp_path / "a"
    adapter.mkdir()
    settings = {"peft_type": "LORA", "r": 1, "lora_alpha": 2}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    values = {f"{stem}A.weight": np.ones((1, 4)), f"{stem}B.weight": np.arange(4.0).reshape(4, 1)}
    raw = {name: ("F32", in_dtype(each, "F32")) for name, each in values.items()}
    write_file(adapter / "adapter_model.safetensors", raw)
    both_ways(tmp_path, base, adapter, top=10)


def test_thirty_ratios_take_the_disk_of_two_models(tmp_path):
    shapes = {f"model.layers.{n}.mlp.up_proj.weight": (512, 512) for n in range(4)}
    base = random_values(shapes=shapes)
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", moved(base))
    percents = [3 * number for number in range(1, 31)]
    restore(tmp_path / "b", tmp_path / "t", tmp_path / "p", as_patch=True,
            top=",".join(map(str, percents)))  # fmt: skip
    size = sum(path.stat().st_size for path in (tmp_path / "p").rglob("*") if path.is_file())
    model = (tmp_path / "t" / "model.safetensors").stat().st_size
    assert size < 0.15 * model
    for percent in (3, 45, 90):
        restore(tmp_path / "b", tmp_path / "t", tmp_path / f"w{percent}", top=percent)
        done = rebuild(
            tmp_path / "p" / f"top-{percent}", tmp_path / "b", tmp_path / "t",
            tmp_path / f"r{percent}",
        )  # fmt: skip
        assert_same_model(tmp_path / f"w{percent}", done.path)


def test_values_need_the_tuned_model_alone_and_a_byte_each(tmp_path):
    shapes = {"model.layers.0.mlp.up_proj.weight": (400, 500)}
    base = random_values(shapes=shapes)
    write_checkpoint(tmp_path / "b", base, "BF16")
    write_checkpoint(tmp_path / "t", moved(base, scale=0.01), "BF16")
    restore(tmp_path / "b", tmp_path / "t", tmp_path / "whole", top=10, rule="absolute")
    made = restore(tmp_path / "b", tmp_path / "t", tmp_path / "p", top=10, rule="absolute",
                   as_patch=True, patch_values=True)  # fmt: skip
    assert made.manifest["restored"]["moved"] == 20_000
    assert (tmp_path / "p" / "patch.safetensors").stat().st_size < 20_000 * (1 + 2) + 1_000
    shutil.rmtree(tmp_path / "b")
    done = rebuild(tmp_path / "p", "embedded", tmp_path / "t", tmp_path / "again")
    assert_same_model(tmp_path / "whole", done.path)


@pytest.mark.parametrize(
    ("rule", "form"),
    [
        ("relative", "threshold"), ("random", "threshold"), ("interpolation", "factor"),
        ("dare", "options"), ("breadcrumbs", "options"), ("lines", "options"), ("svd", "options"),
    ],
)  # fmt: skip
def test_every_family_is_rebuilt_bit_for_bit(tmp_path, rule, form):
    shapes = {
        f"model.layers.{layer}.{name}.weight": (24, 16)
        for layer in (0, 1)
        for name in ("mlp.up_proj", "self_attn.q_proj")
    }
    base = random_values(shapes=shapes)
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", moved(base))
    patch = both_ways(tmp_path, tmp_path / "b", tmp_path / "t", rule=rule, remaining=0.8, seed=3)
    assert Patch.read(patch).form == form


@given(st.sets(st.integers(0, 3000), max_size=60))
def test_positions_survive(positions):
    given_positions = np.array(sorted(positions), np.intp)
    gaps = gaps_of(given_positions)
    assert gaps.size <= len(positions) + 3000 // 255
    assert positions_of(gaps).tolist() == given_positions.tolist()


@hypothesis.settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    dtypes=st.tuples(*[st.sampled_from(["F32", "BF16", "F16"])] * 2),
    top=st.floats(0, 100),
    scope=st.sampled_from(["model", "layer", "tensor"]),
    region=st.sampled_from(["transformer", "mlp", "all"]),
    rule=st.sampled_from(RULES),
    values=st.booleans(),
)
def test_any_pair_is_rebuilt(tmp_path_factory, seed, dtypes, values, **options):
    """Weights of few values, so that most scores tie."""
    folder = tmp_path_factory.mktemp("any")
    stream = np.random.default_rng(seed)
    base = {name: stream.integers(-2, 3, shape) / 4 for name, shape in LLAMA_SHAPES.items()}
    tuned = {name: each + stream.integers(-1, 2, each.shape) / 8 for name, each in base.items()}
    write_checkpoint(folder / "b", base, dtypes[0])
    write_checkpoint(folder / "t", tuned, dtypes[1], shards=1 + seed % 3)
    restore(folder / "b", folder / "t", folder / "w", **options)
    restore(folder / "b", folder / "t", folder / "p", as_patch=True, patch_values=values, **options)
    done = rebuild(folder / "p", folder / "b", folder / "t", folder / "again")
    assert_same_model(folder / "w", done.path)
