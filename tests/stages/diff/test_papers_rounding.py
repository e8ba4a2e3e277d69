from __future__ import annotations

import numpy as np
import pytest
import torch

from made_up_checkpoints import write_checkpoint
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.stages.diff.papers_rounding import (
    printed_share,
    rounded_gaussian,
    rounded_relative,
    rounded_update,
)
from sixtyfold.stages.diff.profile import Profile

NAME = "model.layers.0.mlp.up_proj.weight"
TOPS = (1, 3, 5, 10, 20, 40, 60)
#: Lowest and highest of the ten columns of arXiv 2509.16596, table 3.
PRINTED = {1: (70.56, 71.13), 3: (78.50, 79.29), 5: (81.98, 82.84), 10: (86.92, 87.57),
           20: (91.76, 92.31), 40: (96.26, 97.04), 60: (98.69, 99.12)}  # fmt: skip


def chunk_of(folder, base, tuned):
    write_checkpoint(folder / "b", {NAME: np.float32(base)})
    write_checkpoint(folder / "t", {NAME: np.float32(tuned)})
    (chunk,) = open_pair(folder / "b", folder / "t").tensors[NAME].chunks()
    return chunk


def test_by_hand(tmp_path):
    # in bfloat16 1.003 is 1 and 1.005 is 1 + 2^-7; 3.0 + 0.009 is 3 + 2^-6
    chunk = chunk_of(tmp_path, [1, 1, 3, 0], [1.003, 1.005, 3.009, 0.5])
    update = rounded_update(chunk)
    assert update.tolist() == [0, 2.0**-7, 2.0**-6, 0.5]
    relative = rounded_relative(chunk.base, update)
    third = 171 * 2.0**-15  # 2^-6 / 3 in 8 bits
    tiny = float(torch.tensor(0.5).bfloat16() / torch.tensor(1e-8).bfloat16())
    assert relative.tolist() == [0, 2.0**-7, third, tiny]


def test_the_share_is_a_ratio_of_rounded_sums():
    # 200 + 57 = 257 is 256 in 8 bits: 200/256, not 200/257
    profile = Profile.of(np.float32([200, 57, 0, 0, 0]))
    assert printed_share(profile, 20) == 200 / 256
    assert printed_share(profile, 39.9) == 200 / 256  # 1.995 weights are one
    assert printed_share(profile, 40) == 1
    assert printed_share(Profile.of(np.zeros(5, np.float32)), 20) is None


@pytest.mark.parametrize("update", [1e-5, 1e-4, 1e-3])
def test_equals_torch_in_bfloat16(tmp_path, update):
    stream = np.random.default_rng(0)
    base = (0.02 * stream.standard_normal(100_000)).astype(np.float32)
    tuned = base + (update * stream.standard_normal(100_000)).astype(np.float32)
    chunk = chunk_of(tmp_path, base, tuned)
    relative = rounded_relative(chunk.base, rounded_update(chunk))
    old, new = (torch.from_numpy(each).bfloat16() for each in (base, tuned))
    expected = new.sub(old).abs().div(old.abs().add(1e-8))
    assert np.array_equal(relative, expected.float().numpy())
    profile = Profile.of(relative)
    for top in TOPS:
        number = int(100_000 * float(top) / 100.0)
        part = float(torch.topk(expected, number).values.sum()) / float(expected.sum())
        # torch adds up in float32: its sums may fall to the other side of a rounding boundary
        assert printed_share(profile, top) == pytest.approx(part, abs=1 / 128)


@pytest.mark.parametrize("ratio", [0.005, 0.01])
def test_the_papers_table_is_what_normal_updates_give(ratio):
    profile = rounded_gaussian(7_000_000_000, 0.02, 0.02 * ratio)
    for top, (low, high) in PRINTED.items():
        found = 100 * printed_share(profile, top)
        assert low - 1 < found < high + 1


def test_gaussian_equals_a_simulation():
    stream = np.random.default_rng(1)
    number = 2_000_000
    base = torch.from_numpy((0.02 * stream.standard_normal(number)).astype(np.float32)).bfloat16()
    update = torch.from_numpy((5e-5 * stream.standard_normal(number)).astype(np.float32))
    tuned = (base.float() + update).bfloat16()
    relative = tuned.sub(base).abs().div(base.abs().add(1e-8)).float().numpy()
    expected = rounded_gaussian(number, 0.02, 5e-5)
    lost = Profile.of(relative).numbers[0] / number  # updates that the number format swallows
    assert lost > 0.3
    assert expected.numbers[0] / number == pytest.approx(lost, abs=0.02)
    for top in TOPS:
        share = printed_share(expected, top)
        assert share == pytest.approx(printed_share(Profile.of(relative), top), abs=0.03)
