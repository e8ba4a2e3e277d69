"""Pickle checkpoints: refused unless allowed, and then only tensors are built."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from made_up_checkpoints import moved, random_values, raw_weights, write_checkpoint
from sixtyfold.cli import run_command
from sixtyfold.core.checkpoint import open_checkpoint, pickle_files
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput, Corrupted, SixtyfoldError
from sixtyfold.core.models import model_directory
from sixtyfold.core.pair_models import find_pair
from sixtyfold.stages.restore.run import run
from sixtyfold.stages.restore.spec import RestoreSpec

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}


def state(values=None, dtype="F32"):
    values = random_values() if values is None else values
    return {name: torch.tensor(each).to(DTYPES[dtype]) for name, each in values.items()}


def write_pickles(folder: Path, values, dtype="F32", shards=1, **options) -> Path:
    """Write a model directory with pickled weights."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    tensors = state(values, dtype)
    if shards == 1:
        torch.save(tensors, folder / "pytorch_model.bin", **options)
        return folder
    mapping = {}
    for number in range(shards):
        name = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        own = {key: tensors[key] for key in list(tensors)[number::shards]}
        torch.save(own, folder / name)
        mapping.update(dict.fromkeys(own, name))
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": mapping}))
    return folder


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_same_weights_as_safetensors(tmp_path, dtype, shards, capsys):
    values = random_values()
    write_pickles(tmp_path / "p", values, dtype, shards)
    write_checkpoint(tmp_path / "s", values, dtype)
    found = open_checkpoint(tmp_path / "p", allow_pickle=True)
    expected = open_checkpoint(tmp_path / "s").tensors
    assert set(found.tensors) == set(expected)
    for name, tensor in found.tensors.items():
        assert (tensor.dtype, tensor.shape) == (dtype, expected[name].shape)
        assert np.array_equal(tensor.raw(), expected[name].raw())
        assert np.array_equal(tensor.raw(1, 3), expected[name].raw(1, 3))
    told = capsys.readouterr().err
    assert told.count("is a pickle file, a format that can carry code") == 1
    assert "weights-only loader" in told


@pytest.mark.parametrize("shards", [1, 2])
def test_restored_as_ordinary_safetensors(tmp_path, shards):
    base = random_values()
    write_pickles(tmp_path / "b", base, shards=2)
    write_pickles(tmp_path / "t", moved(base), shards=shards)
    write_checkpoint(tmp_path / "sb", base)
    write_checkpoint(tmp_path / "st", moved(base))
    for b, t, out in (("b", "t", "out"), ("sb", "st", "expected")):
        run(RestoreSpec(base=str(tmp_path / b), tuned=str(tmp_path / t), out=tmp_path / out,
                        top=30, allow_pickle=b == "b"))  # fmt: skip
    names = sorted(each.name for each in (tmp_path / "out").glob("model*"))
    assert names == {
        1: ["model.safetensors"],
        2: ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
            "model.safetensors.index.json"],
    }[shards]  # fmt: skip
    got, expected = raw_weights(tmp_path / "out"), raw_weights(tmp_path / "expected")
    assert all(np.array_equal(got[name], each) for name, each in expected.items())
    library = pytest.importorskip("safetensors.torch")
    for path in (tmp_path / "out").glob("*.safetensors"):
        assert set(library.load_file(path)) <= set(base)


def test_transformers_opens_what_was_restored_from_pickles(tmp_path, planted_tokenizer):
    import transformers

    from tiny_models import tiny_model

    base = tiny_model("qwen2", tmp_path / "b", planted_tokenizer)
    tuned = tiny_model("qwen2", tmp_path / "t", planted_tokenizer, seed=1)
    weights = tuned / "model.safetensors"
    from safetensors.torch import load_file

    torch.save(load_file(weights), tuned / "pytorch_model.bin")
    weights.unlink()
    run(RestoreSpec(base=str(base), tuned=str(tuned), out=tmp_path / "o", allow_pickle=True, top=0))
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "o")
    expected = torch.load(tuned / "pytorch_model.bin", weights_only=True)
    for name, weight in model.state_dict().items():
        if name in expected:
            assert torch.equal(weight, expected[name])


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.pth"])
def test_files_of_other_trainers(tmp_path, wrapper, name):
    tensors = OrderedDict(state())
    content = tensors if wrapper is None else {"epoch": 3, "lr": 1e-4, wrapper: tensors}
    torch.save(content, tmp_path / name)
    for other in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (tmp_path / other).write_bytes(b"x")
    assert set(open_checkpoint(tmp_path, allow_pickle=True).tensors) == set(tensors)


def test_old_format_is_read_without_mapping(tmp_path):
    write_pickles(tmp_path, random_values(), _use_new_zipfile_serialization=False)
    found = open_checkpoint(tmp_path, allow_pickle=True).tensors
    for name, each in random_values().items():
        assert np.array_equal(found[name].raw(), each.ravel())


def test_views_and_shared_storage_are_read_as_they_look(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    torch.save({"a": whole.T, "b": whole[1:], "c": whole}, tmp_path / "pytorch_model.bin")
    found = open_checkpoint(tmp_path, allow_pickle=True).tensors
    assert found["a"].shape == (4, 3)
    assert found["a"].raw().tolist() == whole.T.flatten().tolist()
    assert found["b"].raw().tolist() == list(range(4, 12))
    assert found["c"].raw().tolist() == list(range(12))


class Harm:
    """What runs when a pickle of it is opened without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_pickle_is_not_run(tmp_path, new):
    trace = tmp_path / "was_here"
    folder = tmp_path / "m"
    folder.mkdir()
    content = {**state(), "x": Harm(trace)}
    torch.save(content, folder / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    with pytest.raises(BadInput, match=r"holds more than tensors and was not opened") as caught:
        open_checkpoint(folder, allow_pickle=True)
    assert "\n" not in str(caught.value)
    assert not trace.exists()


@pytest.mark.parametrize("content", [{}, [1, 2], {"a": 3}, torch.ones(3), {"model": {"b": 1}}])
def test_pickles_without_weights_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match="holds no weights by name") as caught:
        open_checkpoint(tmp_path, allow_pickle=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "tensor", [torch.ones(3, 3).to_sparse(), torch.ones(3, dtype=torch.cfloat)]
)
def test_tensors_of_other_kinds_are_named(tmp_path, tensor):
    torch.save({"w": tensor}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match="tensor 'w' is stored as"):
        open_checkpoint(tmp_path, allow_pickle=True)


@pytest.mark.parametrize("keep", [0, 10, 500, -30])
@pytest.mark.parametrize("new", [True, False])
def test_truncated_pickles_are_corrupted(tmp_path, keep, new):
    write_pickles(tmp_path, random_values(), _use_new_zipfile_serialization=new)
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises((Corrupted, BadInput)) as caught:
        open_checkpoint(tmp_path, allow_pickle=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("new", [True, False])
def test_damaged_pickles_are_refused_or_read(tmp_path, new, capsys):
    write_pickles(tmp_path, random_values(), _use_new_zipfile_serialization=new)
    path = tmp_path / "pytorch_model.bin"
    whole, stream = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for number in range(120):
        content = bytearray(whole)
        places = len(content) if number % 2 else 900  # most of what is no weight is at the front
        content[stream.integers(places)] ^= 1 << int(stream.integers(8))
        path.write_bytes(content)
        try:
            for tensor in open_checkpoint(tmp_path, allow_pickle=True).tensors.values():
                tensor.raw()
        except SixtyfoldError:
            refused += 1
    assert refused >= 20
    capsys.readouterr()


def test_without_the_option_nothing_is_opened(tmp_path):
    base = write_checkpoint(tmp_path / "b", random_values())
    tuned = write_pickles(tmp_path / "t", moved(random_values()))
    with pytest.raises(BadInput, match=r"pickle.*\(pytorch_model.bin\)"):
        open_pair(base, tuned)
    for pair in ((base, tuned), (tuned, base)):
        with pytest.raises(BadInput, match=r"as a pickle \(pytorch_model.bin\).*--allow-pickle"):
            find_pair(*map(str, pair))
        assert find_pair(*map(str, pair), allow_pickle=True).open().tensors


def test_safetensors_are_preferred(tmp_path, capsys):
    write_checkpoint(tmp_path, random_values())
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert pickle_files(tmp_path) == []
    assert open_checkpoint(tmp_path, allow_pickle=True).tensors
    assert capsys.readouterr().err == ""


def test_several_pickles_are_ambiguous(tmp_path):
    for name in ("a.pt", "b.pt"):
        torch.save(state(), tmp_path / name)
    with pytest.raises(BadInput, match=r"several pickles \(a.pt, b.pt\); name the one"):
        open_checkpoint(tmp_path, allow_pickle=True)


def test_an_index_of_pickles_may_not_point_outside(tmp_path):
    folder = write_pickles(tmp_path / "m", random_values(), shards=2)
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "../other.bin"}}))
    with pytest.raises(BadInput, match="points outside its folder"):
        open_checkpoint(folder, allow_pickle=True)


def test_other_weights_have_another_fingerprint(tmp_path):
    base = write_checkpoint(tmp_path / "b", random_values())
    found = []
    for seed, shards in ((1, 1), (2, 1), (1, 2), (2, 2)):
        tuned = write_pickles(tmp_path / f"t{seed}{shards}", random_values(seed), shards=shards)
        found.append(find_pair(str(base), str(tuned), allow_pickle=True).inputs["tuned"])
    assert len(set(found)) == 4


def test_torch_is_imported_for_pickles_only(tmp_path):
    program = (
        "import sys; from pathlib import Path\n"
        "from sixtyfold.core.pair_models import find_pair\n"
        "find_pair(sys.argv[1], sys.argv[2], allow_pickle=True).open()\n"
        "print('torch' in sys.modules)\n"
    )
    base = write_checkpoint(tmp_path / "b", random_values())
    tuned = write_pickles(tmp_path / "t", random_values())
    for other, imported in ((base, "False"), (tuned, "True")):
        words = [sys.executable, "-c", program, str(base), str(other)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        assert done.stdout.strip() == imported


def test_a_tensor_without_its_data_or_larger_than_its_file_is_named(tmp_path):
    for tensor, reason in (
        (torch.empty(3, device="meta"), "meta, without its data"),
        (torch.zeros(1).expand(10**13), r"\[10000000000000\] is larger than the file"),
    ):
        torch.save({"w": tensor}, tmp_path / "pytorch_model.bin")
        with pytest.raises(BadInput, match=f"tensor 'w'.*{reason}"):
            open_checkpoint(tmp_path, allow_pickle=True)


def test_a_negated_view_is_read_as_it_looks(tmp_path):
    torch.save({"w": torch._neg_view(torch.ones(3))}, tmp_path / "pytorch_model.bin")
    found = open_checkpoint(tmp_path, allow_pickle=True).tensors
    assert found["w"].raw().tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    "content", [{1: torch.ones(2), "1": torch.zeros(2)}, {"a\n\x1b[31m": torch.ones(2)}, {"\n": 3}]
)
def test_names_are_printable_text(tmp_path, content):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"names must be printable|holds no weights") as caught:
        open_checkpoint(tmp_path, allow_pickle=True)
    assert str(caught.value).isprintable()


def test_a_dictionary_that_holds_itself_is_refused(tmp_path):
    content = {"lr": 1}
    content["model"] = content
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match=r"holds no weights by name \(found lr, model\)"):
        open_checkpoint(tmp_path, allow_pickle=True)


def test_a_folder_named_like_a_pickle_is_none(tmp_path):
    (tmp_path / "old.bin").mkdir()
    torch.save(state(), tmp_path / "model.pt")
    assert pickle_files(tmp_path) == [tmp_path / "model.pt"]
    assert open_checkpoint(tmp_path, allow_pickle=True).tensors


def test_a_pickle_given_as_a_model_says_how_to_make_it_safetensors(tmp_path, capsys):
    given = write_pickles(tmp_path / "p", random_values())
    with pytest.raises(BadInput, match="only pickled weights") as caught:
        model_directory(str(given))
    words = str(caught.value).split("'")[1].replace("DIR", str(tmp_path / "o")).split()
    assert run_command(words[1:]) == 0
    assert "is a pickle file" in capsys.readouterr().err
    found = raw_weights(tmp_path / "o")
    assert all(np.array_equal(found[name], each) for name, each in random_values().items())
