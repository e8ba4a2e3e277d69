from __future__ import annotations

import json

import numpy as np
import pytest

from made_up_checkpoints import (
    in_dtype,
    moved,
    random_values,
    write_checkpoint,
    write_file,
    write_pair,
)
from sixtyfold.core import checkpoint_pair
from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.core.float_formats import convert, sortable_keys, to_float32
from sixtyfold.core.tensor_names import place


def updates(pair):
    return {
        name: np.concatenate([chunk.update for chunk in tensor.chunks()])
        for name, tensor in pair.tensors.items()
        if tensor.numel
    }


def test_reads_what_the_safetensors_library_writes(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    values = random_values()
    (tmp_path / "m").mkdir()
    library.save_file(values, tmp_path / "m" / "model.safetensors", {"format": "pt"})
    found = open_checkpoint(tmp_path / "m").tensors
    assert set(found) == set(values)
    for name, tensor in found.items():
        assert tensor.shape == values[name].shape
        assert np.array_equal(tensor.raw(), values[name].ravel())


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_updates_do_not_depend_on_shards(tmp_path, shards):
    base = random_values()
    tuned = moved(base)
    write_checkpoint(tmp_path / "b", base, shards=3)
    write_checkpoint(tmp_path / "t", tuned, shards=shards)
    found = updates(open_pair(tmp_path / "b", tmp_path / "t"))
    for name, update in found.items():
        assert np.array_equal(update, (tuned[name] - base[name]).ravel())


def test_chunks_cover_every_weight_once(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_pair, "CHUNK", 5)
    base, tuned = write_pair(tmp_path)
    tensor = open_pair(base, tuned).tensors["model.layers.0.mlp.up_proj.weight"]
    assert [chunk.start for chunk in tensor.chunks()] == [0, 5, 10, 15, 20]
    assert sum(chunk.base.size for chunk in tensor.chunks()) == tensor.numel == 24


def test_base_is_seen_in_the_tuned_dtype(tmp_path):
    base = {"model.layers.0.mlp.up_proj.weight": np.float32([[1.0, 1.001, -3.3]])}
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", base, "BF16")
    (chunk,) = open_pair(tmp_path / "b", tmp_path / "t").region("transformer")[0].chunks()
    assert not chunk.update.any()
    assert chunk.inexact == 2
    assert chunk.base_raw.dtype == np.uint16


def test_wider_tuned_dtype_is_exact(tmp_path):
    base = random_values()
    write_checkpoint(tmp_path / "b", base, "BF16")
    write_checkpoint(tmp_path / "t", base, "F32")
    for tensor in open_pair(tmp_path / "b", tmp_path / "t").region("all"):
        for chunk in tensor.chunks():
            assert chunk.inexact == 0
            rounded = to_float32(in_dtype(base[tensor.name].ravel(), "BF16"), "BF16")
            assert np.array_equal(chunk.base, rounded)


def test_base_beyond_the_tuned_range_is_refused(tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"
    write_checkpoint(tmp_path / "b", {name: np.float32([1e6])})
    write_checkpoint(tmp_path / "t", {name: np.float32([1.0])}, "F16")
    (tensor,) = open_pair(tmp_path / "b", tmp_path / "t").region("transformer")
    with pytest.raises(BadInput, match=r"up_proj.*beyond the range of the tuned model's F16"):
        list(tensor.chunks())


def test_prefixes_of_saved_models_are_matched(tmp_path):
    base = {"h.0.attn.c_attn.weight": np.ones((2, 6), np.float32)}
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", {f"transformer.{name}": each for name, each in base.items()})
    pair = open_pair(tmp_path / "b", tmp_path / "t")
    assert pair.tensors["transformer.h.0.attn.c_attn.weight"].numel == 12


def test_head_stored_in_tuned_only_is_compared_with_the_embedding(tmp_path):
    base = random_values()
    tuned = {**moved(base), "lm_head.weight": base["model.embed_tokens.weight"] + np.float32(1)}
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", tuned)
    pair = open_pair(tmp_path / "b", tmp_path / "t")
    assert updates(pair)["lm_head.weight"] == pytest.approx(1.0)
    assert pair.tensors["lm_head.weight"].twin is None


def test_head_of_an_untied_base_may_not_be_missing(tmp_path):
    base = random_values()
    write_checkpoint(tmp_path / "b", base, config={"tie_word_embeddings": False})
    write_checkpoint(tmp_path / "t", {**base, "lm_head.weight": base["model.embed_tokens.weight"]})
    with pytest.raises(BadInput, match=r"'lm_head.weight' of the tuned model is missing"):
        open_pair(tmp_path / "b", tmp_path / "t")


def test_head_stored_in_base_only_is_fine_when_tied(tmp_path):
    base = random_values()
    write_checkpoint(tmp_path / "b", {**base, "lm_head.weight": base["model.embed_tokens.weight"]})
    write_checkpoint(tmp_path / "t", moved(base))
    assert "lm_head.weight" not in open_pair(tmp_path / "b", tmp_path / "t").tensors


def test_untied_head_of_the_base_may_not_vanish(tmp_path):
    base = random_values()
    head = base["model.embed_tokens.weight"] + np.float32(1)
    write_checkpoint(tmp_path / "b", {**base, "lm_head.weight": head})
    write_checkpoint(tmp_path / "t", moved(base))
    with pytest.raises(BadInput, match=r"'lm_head.weight' of the base is missing in the tuned"):
        open_pair(tmp_path / "b", tmp_path / "t")


def test_tied_head_stored_twice_is_counted_once(tmp_path):
    base = random_values()
    tuned = moved(base)
    for folder, values in (("b", base), ("t", tuned)):
        head = values["model.embed_tokens.weight"]
        write_checkpoint(tmp_path / folder, {**values, "lm_head.weight": head})
    pair = open_pair(tmp_path / "b", tmp_path / "t")
    assert pair.tensors["lm_head.weight"].twin == "model.embed_tokens.weight"
    assert [each.name for each in pair.region("embeddings")] == ["model.embed_tokens.weight"]


def test_added_rows_are_counted_and_left_out(tmp_path):
    base = random_values()
    grown = {**base, "model.embed_tokens.weight": np.ones((13, 4), np.float32)}
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", grown)
    (tensor,) = open_pair(tmp_path / "b", tmp_path / "t").region("embeddings")
    assert (tensor.numel, tensor.added_rows) == (40, 3)


def test_buffers_may_be_missing_and_are_in_no_region(tmp_path):
    weight = {"transformer.h.0.attn.c_attn.weight": np.ones((2, 6), np.float32)}
    mask = {"transformer.h.0.attn.bias": np.ones((1, 1, 3, 3), np.float32)}
    write_checkpoint(tmp_path / "b", {**weight, **mask})
    write_checkpoint(tmp_path / "t", weight)
    write_checkpoint(tmp_path / "u", {**weight, **mask})
    assert list(open_pair(tmp_path / "b", tmp_path / "t").tensors) == list(weight)
    for base in ("b", "t"):
        pair = open_pair(tmp_path / base, tmp_path / "u")
        assert [each.name for each in pair.region("all")] == list(weight)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("transformer", {"down", "up", "q", "o"}),
        ("attention", {"q", "o"}),
        ("mlp", {"down", "up"}),
        ("embeddings", {"embedding"}),
        ("all", {"down", "up", "q", "o", "embedding", "norm"}),
    ],
)
def test_regions(tmp_path, region, expected):
    pair = open_pair(*write_pair(tmp_path))
    assert {tensor.place.block for tensor in pair.region(region)} == expected


@pytest.mark.parametrize(
    ("name", "layer", "block"),
    [
        ("model.layers.3.self_attn.qkv_proj.weight", 3, "qkv"),
        ("model.layers.3.mlp.gate_up_proj.weight", 3, "gate_up"),
        ("model.layers.3.self_attn.q_proj.bias", 3, "q"),
        ("model.layers.3.self_attn.q_norm.weight", 3, "norm"),
        ("model.layers.3.post_feedforward_layernorm.weight", 3, "norm"),
        ("transformer.h.0.ln_2.bias", 0, "norm"),
        ("transformer.ln_f.weight", None, "norm"),
        ("transformer.wpe.weight", None, "embedding"),
        ("gpt_neox.layers.7.attention.query_key_value.weight", 7, "qkv"),
        ("gpt_neox.layers.7.attention.dense.bias", 7, "o"),
        ("gpt_neox.layers.7.mlp.dense_4h_to_h.weight", 7, "down"),
        ("gpt_neox.embed_in.weight", None, "embedding"),
        ("embed_out.weight", None, "head"),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", 0, "buffer"),
    ],
)
def test_names(name, layer, block):
    assert place(name) == (layer, block)


def test_missing_and_misshaped_tensors_are_named(tmp_path):
    base = random_values()
    name = "model.layers.1.mlp.up_proj.weight"
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "less", {key: each for key, each in base.items() if key != name})
    write_checkpoint(tmp_path / "other", {**base, name: np.ones((7, 4), np.float32)})
    with pytest.raises(BadInput, match=f"'{name}' of the base is missing"):
        open_pair(tmp_path / "b", tmp_path / "less")
    with pytest.raises(BadInput, match=f"'{name}' of the tuned model is missing"):
        open_pair(tmp_path / "less", tmp_path / "b")
    with pytest.raises(BadInput, match=rf"'{name}' is \[6, 4\] in the base and \[7, 4\]"):
        open_pair(tmp_path / "b", tmp_path / "other")


def test_quantised_weights_are_refused(tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"
    for folder, dtype in (("b", "F32"), ("q", "U8"), ("r", "U8")):
        (tmp_path / folder).mkdir()
        write_file(
            tmp_path / folder / "model.safetensors", {name: (dtype, np.ones((2, 2), np.uint8))}
        )
    with pytest.raises(BadInput, match="save both without quantisation"):
        open_pair(tmp_path / "b", tmp_path / "q")
    with pytest.raises(BadInput, match="stored as U8"):
        open_pair(tmp_path / "r", tmp_path / "q").region("transformer")


def test_empty_region_is_refused(tmp_path):
    write_checkpoint(tmp_path / "b", {"model.norm.weight": np.ones(3, np.float32)})
    with pytest.raises(BadInput, match="region 'mlp' has no weights"):
        open_pair(tmp_path / "b", tmp_path / "b").region("mlp")


@pytest.mark.parametrize("keep", [0, 4, 20, -1])
def test_truncated_files_are_corrupted(tmp_path, keep):
    directory = write_checkpoint(tmp_path / "m", random_values())
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(Corrupted, match=r"not a complete safetensors file") as caught:
        open_checkpoint(directory)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        b"{not json",
        b"[1, 2]",
        b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"w": {"dtype": "F32", "shape": [1]}}',
        b'{"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"w": 3}',
    ],
)
def test_headers_that_lie_are_corrupted(tmp_path, header):
    (tmp_path / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + b"\0" * 4
    )
    with pytest.raises(Corrupted, match="not a complete safetensors file"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("target", ["../other.safetensors", "/etc/passwd", "sub/m.safetensors"])
def test_index_may_not_point_outside(tmp_path, target):
    index = {"weight_map": {"w": target}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadInput, match="points outside its folder"):
        open_checkpoint(tmp_path)


def test_index_and_shards_must_agree(tmp_path):
    directory = write_checkpoint(tmp_path / "m", random_values(), shards=2)
    path = directory / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    first, second = sorted(set(index["weight_map"].values()))
    swapped = {n: {first: second, second: first}[f] for n, f in index["weight_map"].items()}
    path.write_text(json.dumps({"weight_map": swapped}))
    with pytest.raises(Corrupted, match="says"):
        open_checkpoint(directory)
    path.write_text(json.dumps({"weight_map": {**index["weight_map"], "ghost": first}}))
    with pytest.raises(Corrupted, match="promises 'ghost'"):
        open_checkpoint(directory)
    path.write_text("{")
    with pytest.raises(Corrupted, match="not readable JSON"):
        open_checkpoint(directory)


def test_what_is_no_checkpoint_says_why(tmp_path):
    with pytest.raises(BadInput, match="no model directory"):
        open_checkpoint(tmp_path / "none")
    with pytest.raises(BadInput, match="holds no weights"):
        open_checkpoint(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(BadInput, match=r"pickle checkpoint \(pytorch_model.bin\)"):
        open_checkpoint(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BadInput, match="holds an adapter, no whole model"):
        open_checkpoint(tmp_path)


def test_rounding_to_bfloat16_equals_torch():
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    values = np.concatenate([bits.view(np.float32), np.float32([np.inf, -np.inf, 0, -0.0, 3.4e38])])
    values = values[~np.isnan(values)]
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy()
    assert np.array_equal(convert(values, "F32", "BF16"), expected.view(np.uint16))
    assert np.isnan(to_float32(convert(np.float32([np.nan]), "F32", "BF16"), "BF16")).all()


def test_sortable_keys_order_like_the_values():
    values = np.random.default_rng(1).integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    values = values[~np.isnan(values)]
    order = np.argsort(sortable_keys(values), kind="stable")
    assert np.array_equal(values[order], np.sort(values))
