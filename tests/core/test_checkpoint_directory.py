"""Shards, indexes, links and what else lies in a model directory."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from made_up_checkpoints import moved, random_values, raw_weights, write_checkpoint
from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput, Corrupted, SixtyfoldError
from sixtyfold.core.models import model_directory
from sixtyfold.core.pair_models import PairModels, find_pair
from sixtyfold.core.weight_files import MadeFile
from sixtyfold.stages.diff.run import run as diff
from sixtyfold.stages.diff.spec import DiffSpec
from sixtyfold.stages.restore.run import run
from sixtyfold.stages.restore.spec import RestoreSpec


@pytest.mark.parametrize(
    "shard",
    [
        "../model.safetensors",
        "/etc/hostname",
        "sub/m.safetensors",
        "..",
        ".",
        "",
        "a\\b",
        "a\0b",
        7,
    ],
)
def test_an_index_names_files_beside_it_and_nothing_else(tmp_path, shard):
    folder = write_checkpoint(tmp_path / "m", random_values(), shards=2)
    index = folder / "model.safetensors.index.json"
    mapping = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"weight_map": {**mapping, "w": shard}}))
    with pytest.raises(BadInput, match=r"points outside its folder|cannot read") as caught:
        open_checkpoint(folder)
    assert "\n" not in str(caught.value)
    assert "\0" not in str(caught.value)


def test_links_of_the_hubs_cache_are_followed(tmp_path):
    """In that cache every file of a snapshot is a link to ../../blobs/HASH."""
    blobs = write_checkpoint(tmp_path / "blobs", random_values(), shards=2)
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for path in list(blobs.iterdir()):
        hidden = blobs / f"hash-of-{path.name}"
        path.rename(hidden)
        (snapshot / path.name).symlink_to(os.path.relpath(hidden, snapshot))
    found = open_checkpoint(snapshot)
    assert [file.name for file in found.files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    for name, each in random_values().items():
        assert np.array_equal(found.tensors[name].raw(), each.ravel())


def test_a_link_to_nothing_and_a_pipe_are_told(tmp_path):
    folder = write_checkpoint(tmp_path / "m", random_values(), shards=2)
    first = folder / "model-00001-of-00002.safetensors"
    first.unlink()
    first.symlink_to(tmp_path / "gone")
    with pytest.raises(BadInput, match=r"cannot read .*No such file"):
        open_checkpoint(folder)
    first.unlink()
    os.mkfifo(first)
    with pytest.raises(BadInput, match="is no regular file"):
        open_checkpoint(folder)
    first.unlink()
    first.mkdir()
    with pytest.raises(BadInput, match="is no regular file"):
        open_checkpoint(folder)


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"weight_map": {}}', '{"weight_map": 3}', "[" * 9999]
)
def test_an_index_that_is_none_is_corrupted(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(Corrupted, match=r"not readable JSON|holds no JSON object|names no weights"):
        open_checkpoint(tmp_path)


def test_companions_are_a_tokenizer_and_settings_with_the_configuration_last(tmp_path):
    folder = write_checkpoint(tmp_path / "m", random_values(), shards=2)
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json", "optimizer.pt"):
        (folder / name).write_text("{}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool.jinja").write_text("x")
    assert [str(each.name) for each in open_checkpoint(folder).companions()] == [
        "model.safetensors.index.json",
        "additional_chat_templates/tool.jinja",
        "chat_template.jinja",
        "generation_config.json",
        "tokenizer.json",
        "config.json",
    ]


def test_a_made_file_is_what_the_safetensors_library_writes(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    folder = write_checkpoint(tmp_path / "m", random_values(), "F16")
    tensors = open_checkpoint(folder).tensors
    made = MadeFile("x", tensors)
    content = made.prefix + b"".join(each.raw().tobytes() for each in tensors.values())
    assert len(content) == made.size
    (tmp_path / "x").write_bytes(content)
    found = library.load_file(tmp_path / "x")
    for name, each in raw_weights(folder).items():
        assert np.array_equal(found[name], each)
        assert found[name].dtype == each.dtype


def test_an_adapter_given_as_a_model_says_how_to_merge_it(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(BadInput, match=r"holds an adapter.*restore --base BASE --tuned .* --top 0"):
        model_directory(str(tmp_path))
    for name in ("config.json", "adapter_model.safetensors"):  # some trainers leave both
        (tmp_path / name).write_text("{}")
    with pytest.raises(BadInput, match=r"holds an adapter.*restore --base BASE --tuned .* --top 0"):
        model_directory(str(tmp_path))


def test_an_unfinished_stage_is_no_tuned_model(tmp_path):
    from sixtyfold.core.errors import IncompleteInput

    base = write_checkpoint(tmp_path / "b", random_values())
    for name in ("config.json", "adapter_config.json"):
        folder = tmp_path / name
        shutil.copytree(base, folder)
        (folder / "config.json").rename(folder / name)
        (folder / "plan.json").write_text("{}")
        with pytest.raises(IncompleteInput, match="unfinished run"):
            find_pair(str(base), str(folder))


def test_a_gguf_base_is_its_converted_directory(tmp_path):
    import gguf

    base = tmp_path / "base.gguf"
    _write_gguf(gguf, base)
    first = find_pair(str(base), str(base))
    values = raw_weights(first.base)
    name = "model.layers.0.mlp.up_proj.weight"
    changed = {key: each.copy() for key, each in values.items()}
    changed[name][0] += 1
    tuned = write_checkpoint(tmp_path / "t", changed)
    models = find_pair(str(base), str(tuned))
    assert models.base == first.base != base
    pair = models.open()
    moved_tensors = [
        key for key, each in pair.tensors.items() if any(c.update.any() for c in each.chunks())
    ]
    assert moved_tensors == [name]


def _write_gguf(gguf, path):
    """Write a llama of one layer, float32, with a vocabulary of bytes."""
    writer = gguf.GGUFWriter(path, "llama")
    width, words = 32, 40
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(words)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([chr(97 + number % 26) * (1 + number // 26) for number in range(words)])
    writer.add_token_merges(["a a"])
    writer.add_token_types([1] * words)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    shapes = {
        "token_embd": (words, width), "output_norm": (width,), "output": (words, width),
        "blk.0.attn_norm": (width,), "blk.0.ffn_norm": (width,), "blk.0.attn_q": (width, width),
        "blk.0.attn_k": (16, width), "blk.0.attn_v": (16, width),
        "blk.0.attn_output": (width, width), "blk.0.ffn_gate": (48, width),
        "blk.0.ffn_up": (48, width), "blk.0.ffn_down": (width, 48),
    }  # fmt: skip
    for name, each in random_values(shapes=shapes).items():
        writer.add_tensor(f"{name}.weight", each)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_two_names_for_one_base_tensor_are_refused(tmp_path):
    base = random_values()
    name = "model.layers.0.mlp.up_proj.weight"
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", {**base, name.removeprefix("model."): base[name]})
    with pytest.raises(BadInput, match=r"'layers.0.mlp.up_proj.weight' and 'model.layers.0.mlp"):
        open_pair(tmp_path / "b", tmp_path / "t")


def test_names_that_two_base_tensors_share_are_not_guessed(tmp_path):
    base = random_values()
    name = "layers.0.mlp.up_proj.weight"
    write_checkpoint(tmp_path / "b", {**base, f"transformer.{name}": base[f"model.{name}"]})
    with_other = {f"gpt_neox.{name}" if n == f"model.{name}" else n: e for n, e in base.items()}
    write_checkpoint(tmp_path / "t", with_other)
    with pytest.raises(BadInput, match=r"'gpt_neox.layers.0.mlp.up_proj.weight' of the tuned"):
        open_pair(tmp_path / "b", tmp_path / "t")


def test_links_do_not_change_what_is_restored(tmp_path):
    base, values = random_values(), moved(random_values())
    write_checkpoint(tmp_path / "b", base)
    real = write_checkpoint(tmp_path / "real", values, shards=2)
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in real.iterdir():
        (linked / path.name).symlink_to(path)
    for folder in (real, linked):
        out = tmp_path / f"out-{folder.name}"
        run(RestoreSpec(base=str(tmp_path / "b"), tuned=str(folder), out=out, top=20))
    one, other = raw_weights(tmp_path / "out-real"), raw_weights(tmp_path / "out-linked")
    assert all(np.array_equal(other[name], each) for name, each in one.items())
    assert not any(path.is_symlink() for path in (tmp_path / "out-linked").iterdir())


@pytest.mark.parametrize(
    "header",
    [
        '{"a":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,8]}}',
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,Infinity]}}',
        '{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}',
        '{"a":{"dtype":"F32","shape":[true,2],"data_offsets":["0","8"]}}',
        '{"a\\n\\u001b[31m":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        '{"a":{"dtype":"F8\\n\\u001b[31m","shape":[8],"data_offsets":[0,8]}}',
        "[" * 100_000,
    ],
    ids=range(7),
)
def test_headers_made_to_confuse_are_one_printable_line(tmp_path, header):
    text = header.encode()
    content = len(text).to_bytes(8, "little") + text + bytes(8)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(SixtyfoldError) as caught:
        open_checkpoint(tmp_path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("which", ["b", "t"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
@pytest.mark.parametrize("command", ["restore", "patch", "diff"])
def test_a_model_that_changes_while_it_is_read_gives_no_result(
    tmp_path, monkeypatch, which, name, command
):
    """Between fingerprint and reading, at the same path."""
    base = write_checkpoint(tmp_path / "b", random_values())
    tuned = write_checkpoint(tmp_path / "t", moved(random_values()))
    other = write_checkpoint(
        tmp_path / "n", moved(random_values(), seed=7), config={"model_type": "other"}
    )
    opened = PairModels.open

    def late(models):
        (tmp_path / which / name).write_bytes((other / name).read_bytes())
        return opened(models)

    monkeypatch.setattr(PairModels, "open", late)
    options = {"base": str(base), "tuned": str(tuned), "out": tmp_path / "out"}
    work = {
        "restore": lambda: run(RestoreSpec(**options)),
        "patch": lambda: run(RestoreSpec(**options, as_patch=True)),
        "diff": lambda: diff(DiffSpec(**options)),
    }
    with pytest.raises(BadInput, match="was changed while it was read"):
        work[command]()
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / "config.json").exists()
