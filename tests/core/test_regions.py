from __future__ import annotations

import numpy as np
import pytest

from made_up_checkpoints import LLAMA_SHAPES, random_values, write_checkpoint
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput
from sixtyfold.core.tensor_names import REGIONS, parse_region, place
from sixtyfold.stages.restore.spec import RestoreSpec

INSIDE = sorted(name for name in LLAMA_SHAPES if place(name).inside("transformer"))
NAMED = {
    "transformer": INSIDE,
    "attention": [name for name in INSIDE if "self_attn" in name],
    "mlp": [name for name in INSIDE if "mlp" in name],
    "embeddings": ["model.embed_tokens.weight"],
    "all": sorted(LLAMA_SHAPES),
    "*.up_proj.weight": [f"model.layers.{n}.mlp.up_proj.weight" for n in (0, 1)],
    "*norm*": ["model.layers.0.input_layernorm.weight", "model.norm.weight"],
    "layers.?.self_attn.*": [name for name in INSIDE if "self_attn" in name],
    "model.norm.weight": ["model.norm.weight"],
    "transformer:1": [name for name in INSIDE if ".1." in name],
    "transformer:0-1": INSIDE,
    "all:0,7-9": sorted(name for name in LLAMA_SHAPES if ".0." in name),
    "*_proj.weight:0": [n for n in INSIDE if ".0." in n and n.endswith("weight")],
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = write_checkpoint(tmp_path_factory.mktemp("pair") / "m", random_values())
    return open_pair(folder, folder)


@pytest.mark.parametrize("region", NAMED)
def test_what_a_region_holds(pair, region):
    assert [tensor.name for tensor in pair.region(region)] == NAMED[region]


def test_every_name_is_tested():
    assert set(REGIONS) <= set(NAMED)


@pytest.mark.parametrize("region", ["transformer:5", "*.experts.*", "model.layers.?"])
def test_empty_region_is_refused(pair, region):
    with pytest.raises(BadInput, match="has no weights"):
        pair.region(region)


def test_layers_that_are_not_there_are_told_from_those_that_are(pair):
    with pytest.raises(BadInput, match=r"'mlp:7-9' has no weights in .*; its layers are 0 to 1$"):
        pair.region("mlp:7-9")
    with pytest.raises(BadInput, match=r"try --region all$"):
        pair.region("*.experts.*")


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        ("atention", "did you mean 'attention'"),
        ("q_proj", "or a pattern of tensor names such as"),
        ("mlp:", "layers are given as 8-15 or 0,4-7"),
        ("mlp:3-1", "not as '3-1'"),
        ("mlp:-1", "not as '-1'"),
        ("mlp:0,,2", "not as '0,,2'"),
    ],
)
def test_what_is_no_region(tmp_path, region, reason):
    with pytest.raises(ValueError, match=reason):
        parse_region(region)
    with pytest.raises(BadInput, match=f"option 'region' was given '{region}': .*{reason}"):
        RestoreSpec.parse({"tuned": "t", "out": tmp_path, "region": region})


def test_buffers_are_in_no_region(tmp_path):
    values = {
        "model.layers.0.mlp.up_proj.weight": np.ones(4, np.float32),
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32),
    }
    folder = write_checkpoint(tmp_path / "m", values)
    for region in ("all", "*"):
        names = [tensor.name for tensor in open_pair(folder, folder).region(region)]
        assert names == ["model.layers.0.mlp.up_proj.weight"]
