"""Breadcrumbs and TIES against a plain sort, with ties, zero updates and tiny tensors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_checkpoints import float_weights, write_checkpoint
from sixtyfold.core import checkpoint_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.stages.restore.alternatives.family import measure
from sixtyfold.stages.restore.alternatives.trimming import Shares, trimmed
from sixtyfold.stages.restore.candidates import SAME_NORM, Candidates
from sixtyfold.stages.restore.plans import whole_tensor

PALETTE = [0.0, -0.0, 0.5, -0.5, 1.0, 1.0078125, 0.02, -0.02, 1e-6, 300.0]


def sorted_and_dropped(updates: dict[str, np.ndarray], shares: Shares) -> dict[str, np.ndarray]:
    """Which weights go back, by sorting all updates of one ranking."""
    names = sorted(updates)
    sizes = np.abs(np.concatenate([updates[name] for name in names]))
    order = np.argsort(-sizes, kind="stable")
    dropped = round((shares.largest + shares.smallest) * sizes.size)
    first = min(dropped, round(shares.largest * sizes.size))
    mask = np.zeros(sizes.size, bool)
    mask[order[:first]] = True
    mask[order[sizes.size - (dropped - first) :]] = True
    parts = np.split(mask, np.cumsum([updates[name].size for name in names])[:-1])
    return dict(zip(names, parts, strict=True))


@st.composite
def pairs(draw):
    values = st.sampled_from(PALETTE)
    base, tuned = {}, {}
    for number, size in enumerate(draw(st.lists(st.integers(1, 25), min_size=1, max_size=4))):
        name = f"model.layers.{number}.mlp.up_proj.weight"
        base[name] = np.float32(draw(st.lists(values, min_size=size, max_size=size)))
        other = np.float32(draw(st.lists(values, min_size=size, max_size=size)))
        stay = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
        tuned[name] = np.where(stay, base[name], other)
    tuned[name][0] = base[name][0] + 1  # there is an update
    return base, tuned


@settings(max_examples=100)
@given(
    pair=pairs(),
    dtype=st.sampled_from(["F32", "BF16"]),
    scope=st.sampled_from(["model", "tensor"]),
    largest=st.sampled_from([0.0, 0.1, 0.3]),
    share=st.sampled_from([1.0, 0.8, 0.5, 0.0]),
)
def test_equals_a_sort(pair, dtype, scope, largest, share):
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(checkpoint_pair, "CHUNK", 7):
        opened = open_pair(
            write_checkpoint(Path(folder) / "b", pair[0], dtype),
            write_checkpoint(Path(folder) / "t", pair[1], dtype),
        )
        base, tuned = (float_weights(each.directory) for each in (opened.base, opened.tuned))
        updates = {name: tuned[name] - base[name] for name in base}
        (plan,) = trimmed(
            measure(opened, "transformer", 0),
            scope,
            lambda strength: Shares(largest * strength, (1 - largest) * strength),
            [share],
        )
        groups = [updates] if scope == "model" else [{name: updates[name]} for name in updates]
        for group in groups:
            for name, mask in sorted_and_dropped(group, plan.shares).items():
                tensor = opened.tensors[name]
                expected = np.where(mask, base[name], tuned[name])
                assert whole_tensor(plan, tensor).tobytes() == expected.tobytes()
                assert sum(run.restored for run in plan.chunks(tensor)) == mask.sum()


@pytest.mark.parametrize("family", ["breadcrumbs", "breadcrumbs-model"])
def test_breadcrumbs_drop_one_of_the_largest_for_nine_of_the_smallest(tmp_path, family):
    stream = np.random.default_rng(0)
    name = "model.layers.0.mlp.up_proj.weight"
    base = {name: stream.standard_normal(20_000).astype(np.float32)}
    tuned = {name: base[name] + (1e-2 * stream.standard_normal(20_000)).astype(np.float32)}
    pair = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    candidates = Candidates(pair)
    (found,) = candidates.same_norm(family, [0.9])
    shares = found.plan.shares
    assert shares.smallest == pytest.approx(9 * shares.largest)
    (weights,) = (each for _, each in candidates.tensors(found))
    sizes = np.abs(tuned[name] - base[name])
    kept = sizes[weights != base[name]]
    assert (sizes > kept.max()).sum() == round(shares.largest * 20_000)


def test_the_trimming_of_ties_over_the_whole_model_is_the_rule_smallest(tmp_path):
    stream = np.random.default_rng(0)
    name = "model.layers.0.mlp.up_proj.weight"
    base = {name: stream.standard_normal(9_000).astype(np.float32)}
    tuned = {name: base[name] + (1e-2 * stream.standard_normal(9_000)).astype(np.float32)}
    pair = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    candidates = Candidates(pair)
    for share in (0.95, 0.6):
        (ties,), (rule,) = (candidates.same_norm(each, [share]) for each in ("ties", "smallest"))
        assert abs(ties.remaining - rule.remaining) < SAME_NORM
        differ = sum(
            np.count_nonzero(one != other)
            for (_, one), (_, other) in zip(
                candidates.tensors(ties), candidates.tensors(rule), strict=True
            )
        )
        assert differ <= 3  # one tensor: the same weights up to where the cut lies
