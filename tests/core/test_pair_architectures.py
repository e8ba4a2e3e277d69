"""Pairs of every architecture, saved in the ways that change names, layout and number format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from made_up_checkpoints import float_weights
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput
from tiny_models import ARCHITECTURES, tiny_model

kinds = pytest.mark.parametrize("kind", ARCHITECTURES)
ties = pytest.mark.parametrize("tied", [True, False])


@pytest.fixture(scope="module")
def models(tmp_path_factory, planted_tokenizer):
    """Give base and tuned directory of an architecture, made once."""
    made: dict[tuple[str, bool], tuple[Path, Path]] = {}

    def pair(kind: str, tied: bool) -> tuple[Path, Path]:
        if (kind, tied) not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind, tied] = tuple(
                tiny_model(kind, folder / name, planted_tokenizer, seed, tied)
                for seed, name in enumerate(["base", "tuned"])
            )
        return made[kind, tied]

    return pair


def updates(base: Path, tuned: Path, **options) -> dict[str, np.ndarray]:
    pair = open_pair(base, tuned, **options)
    return {
        name: np.concatenate([chunk.update for chunk in each.chunks()])
        for name, each in pair.tensors.items()
    }


def expected(base: Path, tuned: Path) -> dict[str, np.ndarray]:
    before, after = float_weights(base), float_weights(tuned)
    assert set(before) == set(after)
    return {name: (after[name] - before[name]).ravel() for name in before}


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    return len(found) == len(wanted) and all(
        any(np.array_equal(each, other) for other in wanted.values()) for each in found.values()
    )


@ties
@kinds
def test_updates_are_tuned_minus_base(kind, tied, models):
    base, tuned = models(kind, tied)
    found = updates(base, tuned)
    wanted = expected(base, tuned)
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], each) for name, each in wanted.items())
    heads = [each for each in open_pair(base, tuned).tensors.values() if each.place.block == "head"]
    assert len(heads) == (0 if tied else 1)


@ties
@kinds
def test_every_weight_has_a_place(kind, tied, models):
    """In two layers: nothing is `other`, and the regions share the layers out."""
    base, tuned = models(kind, tied)
    pair = open_pair(base, tuned)
    assert {each.place.block for each in pair.tensors.values()}.isdisjoint({"other", "buffer"})
    layers = {each.place.layer for each in pair.region("transformer")}
    assert layers == {0, 1}
    inside = {each.name for region in ("attention", "mlp") for each in pair.region(region)}
    assert inside == {each.name for each in pair.region("transformer")}


@ties
@kinds
def test_shards_of_either_change_nothing(kind, tied, models, tmp_path):
    base, tuned = models(kind, tied)
    wanted = updates(base, tuned)
    for number, source in enumerate((base, tuned)):
        model = transformers.AutoModelForCausalLM.from_pretrained(source)
        model.save_pretrained(tmp_path / str(number), max_shard_size="30KB")
        assert (tmp_path / str(number) / "model.safetensors.index.json").is_file()
    for one, other in ((base, "1"), ("0", tuned), ("0", "1")):
        found = updates(tmp_path / one, tmp_path / other)
        assert all(np.array_equal(found[name], each) for name, each in wanted.items())


@kinds
def test_a_body_saved_without_its_head_is_the_same_model(kind, models, tmp_path):
    """`model.base_model.save_pretrained` drops the prefix of every name."""
    base, tuned = models(kind, True)
    wanted = updates(base, tuned)
    bodies = []
    for number, source in enumerate((base, tuned)):
        model = transformers.AutoModelForCausalLM.from_pretrained(source)
        model.base_model.save_pretrained(tmp_path / str(number))
        bodies.append(tmp_path / str(number))
    for one, other in ((base, bodies[1]), (bodies[0], tuned), tuple(bodies)):
        assert same(updates(one, other), wanted)
    untied, _ = models(kind, False)
    with pytest.raises(BadInput, match="of the base is missing in the tuned model"):
        open_pair(untied, bodies[1])


@kinds
@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "base_model.model."])
def test_prefixes_of_wrappers_are_dropped(kind, prefix, models, tmp_path):
    """Names as distributed training, torch.compile and own training loops leave them."""
    base, tuned = models(kind, False)
    state = {f"{prefix}{name}": torch.tensor(each) for name, each in float_weights(tuned).items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert same(updates(base, tmp_path, allow_pickle=True), expected(base, tuned))


@kinds
def test_a_tied_head_stored_in_one_of_them(kind, models, tmp_path):
    """A state dict names the head of a tied model too; saved models do not."""
    base, tuned = models(kind, True)
    model = transformers.AutoModelForCausalLM.from_pretrained(tuned)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    pair = open_pair(base, tmp_path, allow_pickle=True)
    heads = [each for each in pair.tensors.values() if each.place.block == "head"]
    assert [each.twin for each in heads] == [
        each.name for each in pair.tensors.values()
        if each.place.block == "embedding" and "wpe" not in each.name
    ]  # fmt: skip
    counted = sum(each.numel for each in pair.region("all"))
    assert counted == sum(each.numel for each in open_pair(base, tuned).region("all"))
    back = open_pair(tmp_path, tuned, allow_pickle=True)
    assert sum(each.numel for each in back.region("all")) == counted


@ties
@kinds
def test_added_tokens_are_counted_and_left_out(kind, tied, models, tmp_path):
    base, tuned = models(kind, tied)
    wanted = updates(base, tuned)
    model = transformers.AutoModelForCausalLM.from_pretrained(tuned)
    words = json.loads((base / "config.json").read_text())["vocab_size"]
    model.resize_token_embeddings(words + 5)
    model.save_pretrained(tmp_path)
    pair = open_pair(base, tmp_path)
    grown = {each.place.block: each.added_rows for each in pair.tensors.values() if each.added_rows}
    assert grown == {"embedding": 5} | ({} if tied else {"head": 5})
    found = updates(base, tmp_path)
    assert all(np.array_equal(found[name], each) for name, each in wanted.items())
    with pytest.raises(BadInput, match="only added embedding rows may differ"):
        open_pair(tmp_path, tuned)


@pytest.mark.parametrize(("before", "after"), [("bfloat16", "float32"), ("float32", "bfloat16")])
@kinds
def test_number_formats_may_differ(kind, before, after, models, tmp_path):
    for name, source, dtype in zip("bt", models(kind, False), (before, after), strict=True):
        model = transformers.AutoModelForCausalLM.from_pretrained(source)
        model.to(getattr(torch, dtype)).save_pretrained(tmp_path / name)
    pair = open_pair(tmp_path / "b", tmp_path / "t")
    inexact = sum(chunk.inexact for each in pair.tensors.values() for chunk in each.chunks())
    assert (inexact > 0) == (after == "bfloat16")
    before_values, after_values = float_weights(tmp_path / "b"), float_weights(tmp_path / "t")
    for name, each in pair.tensors.items():
        base = torch.tensor(before_values[name]).to(getattr(torch, after)).float().numpy()
        update = np.concatenate([chunk.update for chunk in each.chunks()])
        assert np.array_equal(update, (after_values[name] - base).ravel())
