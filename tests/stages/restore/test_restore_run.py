from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest
from huggingface_hub import ModelCard

from made_up_checkpoints import (
    LLAMA_SHAPES,
    moved,
    random_values,
    raw_weights,
    write_checkpoint,
    write_pair,
)
from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.errors import BadInput, Corrupted, OtherResult
from sixtyfold.core.tensor_names import place
from sixtyfold.stages.restore import write
from sixtyfold.stages.restore.run import plan, run
from sixtyfold.stages.restore.spec import RestoreSpec

REGION = [name for name in LLAMA_SHAPES if place(name).inside("transformer")]


def restore(base, tuned, out, **options):
    return run(RestoreSpec(base=str(base), tuned=str(tuned), out=out, **options))


@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("rule", ["relative", "absolute", "random", "smallest"])
def test_every_weight_is_base_or_tuned_bit_for_bit(tmp_path, rule, dtype):
    base, tuned = write_pair(tmp_path, dtype=dtype)
    done = restore(base, tuned, tmp_path / "out", rule=rule, top=20)
    before, after, got = (raw_weights(each) for each in (base, tuned, tmp_path / "out"))
    restored = 0
    for name, raw in got.items():
        kind = f"u{raw.itemsize}"
        is_base = raw.view(kind) == before[name].view(kind)
        is_tuned = raw.view(kind) == after[name].view(kind)
        assert (is_base | is_tuned).all()
        if name in REGION:
            restored += int((is_base & ~is_tuned).sum())
        else:
            assert is_tuned.all()
    weights = sum(int(np.prod(LLAMA_SHAPES[name])) for name in REGION)
    totals = done.manifest["restored"]
    assert totals["numel"] == weights
    assert totals["restored"] == round(0.2 * weights)
    assert totals["moved"] == restored
    assert (restored == 0) == (rule == "smallest")  # a third of the made-up weights never moved
    assert totals["inexact"] == 0
    table = done.table("restored_weights")
    assert table["tensor"].to_list() == sorted(REGION)
    assert table["restored"].sum() == totals["restored"]


def test_layout_and_metadata_are_the_tuned_models(tmp_path):
    base = random_values()
    write_checkpoint(tmp_path / "b", base, "F32", shards=2)
    write_checkpoint(tmp_path / "t", moved(base), "BF16", shards=3)
    done = restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", top=30)
    tuned, out = open_checkpoint(tmp_path / "t"), open_checkpoint(tmp_path / "out")
    assert [file.name for file in out.files] == [file.name for file in tuned.files]
    assert [file.prefix for file in out.files] == [file.prefix for file in tuned.files]
    assert out.index_file.read_bytes() == tuned.index_file.read_bytes()
    assert done.manifest["restored"]["inexact"] > 0
    assert sorted(done.manifest["files"]) == [file.name for file in out.files]


def test_shards_do_not_change_what_is_restored(tmp_path):
    base, tuned = random_values(), moved(random_values())
    results = []
    for number, shards in enumerate([(1, 1), (2, 1), (1, 4), (3, 2)]):
        folder = tmp_path / str(number)
        write_checkpoint(folder / "b", base, shards=shards[0])
        write_checkpoint(folder / "t", tuned, shards=shards[1])
        restore(folder / "b", folder / "t", folder / "out", rule="random", top=33)
        results.append(raw_weights(folder / "out"))
    for other in results[1:]:
        assert all(np.array_equal(other[name], each) for name, each in results[0].items())


def test_the_safetensors_library_reads_the_result(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    base, tuned = write_pair(tmp_path)
    restore(base, tuned, tmp_path / "out", rule="interpolation", alpha=0.5)
    before, after = (library.load_file(each / "model.safetensors") for each in (base, tuned))
    for name, weights in library.load_file(tmp_path / "out" / "model.safetensors").items():
        middle = before[name] + np.float32(0.5) * (after[name] - before[name])
        assert np.array_equal(weights, middle if name in REGION else after[name])


def test_added_rows_stay_tuned(tmp_path):
    base = random_values()
    grown = np.concatenate([base["model.embed_tokens.weight"] + 1, np.full((3, 4), 7, np.float32)])
    write_checkpoint(tmp_path / "b", base)
    write_checkpoint(tmp_path / "t", {**base, "model.embed_tokens.weight": grown})
    restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", region="embeddings", top=100)
    got = raw_weights(tmp_path / "out")["model.embed_tokens.weight"]
    assert np.array_equal(got[:10], base["model.embed_tokens.weight"])
    assert (got[10:] == 7).all()


def test_model_files_come_along_and_nothing_else(tmp_path):
    base, tuned = write_pair(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                 "generation_config.json", "merges.txt"):  # fmt: skip
        (tuned / name).write_text(name)
    for name in ("training.json", "trainer_state.json", "optimizer.pt", "log.txt"):
        (tuned / name).write_text("{}")
    restore(base, tuned, tmp_path / "out")
    found = {path.name for path in (tmp_path / "out").iterdir()} - {".lock"}
    assert found == {
        "model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json",
        "chat_template.jinja", "generation_config.json", "merges.txt", "README.md",
        "restored_weights.parquet", "plan.json", "timings.json", "manifest.json",
    }  # fmt: skip
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "chat_template.jinja"


def test_killed_between_shards_continues(tmp_path, monkeypatch):
    base = random_values()
    write_checkpoint(tmp_path / "b", base, shards=3)
    write_checkpoint(tmp_path / "t", moved(base), shards=3)
    whole = restore(tmp_path / "b", tmp_path / "t", tmp_path / "whole", top=25)
    written = []
    original = write._write_file

    def die_at_the_second(file, pair, outcome, region, directories):
        written.append(file.name)
        if len(written) == 2:
            (directories[0] / f".{file.name}.partial").write_bytes(b"half")
            raise KeyboardInterrupt
        return original(file, pair, outcome, region, directories)

    monkeypatch.setattr(write, "_write_file", die_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", top=25)
    assert not (tmp_path / "out" / "config.json").exists()
    assert not (tmp_path / "out" / "manifest.json").exists()
    done = restore(tmp_path / "b", tmp_path / "t", tmp_path / "out", top=25)
    assert len(written) == len(set(written)) + 1 == 4
    assert done.manifest == whole.manifest
    for name in ("model-00001-of-00003.safetensors", "restored_weights.parquet", "manifest.json"):
        assert (tmp_path / "out" / name).read_bytes() == (whole.path / name).read_bytes()
    assert not list((tmp_path / "out").glob(".*.partial"))


def test_finished_result_is_given_again(tmp_path):
    base, tuned = write_pair(tmp_path)
    first = restore(base, tuned, tmp_path / "out")
    stamp = (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns
    assert restore(base, tuned, tmp_path / "out").manifest == first.manifest
    assert (tmp_path / "out" / "model.safetensors").stat().st_mtime_ns == stamp
    with pytest.raises(OtherResult, match="top"):
        restore(base, tuned, tmp_path / "out", top=11)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_one_line_and_leaves_no_model(tmp_path, monkeypatch, code):
    base, tuned = write_pair(tmp_path)

    def full(file, _pair, _outcome, _region, directories):
        (directories[0] / f".{file.name}.partial").write_bytes(b"half")
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(write, "_write_file", full)
    with pytest.raises(BadInput, match=r"the disk of .* is full; make room"):
        restore(base, tuned, tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"plan.json", ".lock"}


def test_too_small_disk_is_noticed_before_writing(tmp_path, monkeypatch):
    base, tuned = write_pair(tmp_path)
    monkeypatch.setattr(
        write.shutil, "disk_usage", lambda _: write.shutil._ntuple_diskusage(9, 9, 0)
    )
    with pytest.raises(BadInput, match=r"its disk has 0\.00 GB free"):
        restore(base, tuned, tmp_path / "out")


def test_output_over_an_input_is_refused(tmp_path):
    base, tuned = write_pair(tmp_path)
    for out in (base, tuned):
        with pytest.raises(BadInput, match="is one of the models to read"):
            restore(base, tuned, out)
    assert raw_weights(tuned)


def test_broken_tuned_model_leaves_nothing(tmp_path):
    base, tuned = write_pair(tmp_path)
    path = tuned / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(Corrupted, match="not a complete safetensors file"):
        restore(base, tuned, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_plan_counts_without_writing(tmp_path):
    base, tuned = write_pair(tmp_path)
    spec = RestoreSpec(base=str(base), tuned=str(tuned), out=tmp_path / "out", top=20)
    weights = sum(int(np.prod(LLAMA_SHAPES[name])) for name in REGION)
    assert plan(spec) == {
        "region_weights": weights,
        "restored": round(0.2 * weights),
        "bytes": (tuned / "model.safetensors").stat().st_size,
    }
    assert not (tmp_path / "out").exists()


def test_card_says_what_was_done(tmp_path):
    base, tuned = write_pair(tmp_path)
    (tuned / "README.md").write_text("---\nlicense: mit\n---\n")
    restore(base, tuned, tmp_path / "out", top=50)
    card = (tmp_path / "out" / "README.md").read_text()
    assert ModelCard(card).data.license == "mit"
    assert "54 of 108 weights of the region `transformer` (50%, rule relative)" in card
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"model_type": "llama"}
