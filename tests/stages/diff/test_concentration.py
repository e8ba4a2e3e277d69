from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_checkpoints import write_checkpoint
from sixtyfold.core import checkpoint_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.stages.diff import nulls
from sixtyfold.stages.diff.changes import BF16_MEASURE, tensor_changes
from sixtyfold.stages.diff.concentration import (
    PROFILES_SCHEMA,
    Gathered,
    Profiles,
    concentration,
    places,
    places_by,
)
from sixtyfold.stages.diff.nulls import gaussian_profiles, shuffled_update
from sixtyfold.stages.diff.profile import Profile
from sixtyfold.stages.diff.spec import PAPERS_TOPS

NAME = "model.layers.0.mlp.up_proj.weight"


def one_tensor(folder, base, tuned):
    write_checkpoint(folder / "b", {NAME: np.float32(base)})
    write_checkpoint(folder / "t", {NAME: np.float32(tuned)})
    return open_pair(folder / "b", folder / "t").tensors[NAME]


def gathered(tensors, seed=0, bf16=False):
    """Profiles of tensors, each in a part of its own, and their rows of `weight_changes`."""
    profiles, rows = Profiles(), []
    for tensor in tensors:
        part, found = Gathered(), tensor_changes(tensor, seed, in_region=True, bf16=bf16)
        part.add(found)
        profiles.add(part.table())
        rows.append(found.row)
    return profiles, pl.DataFrame(rows)


def shares(tensor, seed=0, bf16=False):
    profiles, _ = gathered([tensor], seed, bf16)
    rows = concentration(profiles, PAPERS_TOPS, ["region"]).to_dicts()
    return {(row["measure"], row["top_percent"]): row for row in rows}


def brute_force_share(values, percent):
    ordered = np.sort(np.float64(values))[::-1]
    return ordered[: round(percent / 100 * ordered.size)].sum() / ordered.sum()


def test_by_hand(tmp_path):
    # r = 1/2, 1/4, 1/8, 0, 0 and |Δ| = 1/2, 1, 1/4, 0, 0 (the 1e-8 is lost in float32)
    tensor = one_tensor(tmp_path, [1, 4, -2, 1, 8], [1.5, 3, -2.25, 1, 8])
    found = tensor_changes(tensor, 0, in_region=True)
    row = found.row
    assert (row["numel"], row["changed"], row["near_zero"]) == (5, 3, 0)
    assert row["sum_abs"] == 1.75
    assert row["sum_squared"] == 0.25 + 1 + 0.0625
    assert row["sum_relative"] == pytest.approx(0.875, rel=1e-6)
    assert row["sum_base_squared"] == 1 + 16 + 4 + 1 + 64
    table = shares(tensor)
    assert table["relative", 20.0]["share"] == pytest.approx(4 / 7, rel=1e-6)
    assert table["relative", 40.0]["share"] == pytest.approx(6 / 7, rel=1e-6)
    assert table["relative", 60.0]["share"] == pytest.approx(1)
    assert table["absolute", 20.0]["share"] == pytest.approx(4 / 7)
    assert table["absolute", 40.0]["share"] == pytest.approx(6 / 7)
    assert table["relative", 1.0]["share"] == 0  # a twentieth of a weight is no weight


def test_zero_weights_have_a_figure_of_their_own(tmp_path):
    tensor = one_tensor(tmp_path, [0, 1, 1, 1, 1, 1], [0.001, 1.5, 1.25, 1.125, 1, 1])
    table = shares(tensor)
    assert table["relative", 20.0]["share"] > 0.9999
    without = table["nonzero-base relative", 20.0]
    assert without["weights"] == 5
    assert without["share"] == pytest.approx(4 / 7, rel=1e-6)


def test_no_change_has_no_concentration(tmp_path):
    table = shares(one_tensor(tmp_path, [1, 2, 3], [1, 2, 3]))
    assert {row["share"] for row in table.values()} == {None}
    assert {row["null_permutation"] for row in table.values()} == {None}


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.just(0.0), st.floats(2.0**-40, 2.0**40, width=32)), min_size=1, max_size=60
    ),
    percent=st.floats(0, 100),
)
def test_share_of_top_equals_a_sort(values, percent):
    array = np.float32(values)
    found = Profile.of(array).share_of_top(percent)
    if array.sum() == 0:
        assert found is None
    else:  # the bucket in which the top ends is less than 1% wide
        assert found == pytest.approx(brute_force_share(array, percent), abs=0.01)


def test_share_of_top_of_many_values_is_close_to_exact():
    values = np.abs(np.random.default_rng(0).standard_cauchy(200_000)).astype(np.float32)
    for percent in (1, 3, 5, 10, 20, 40, 60):
        found = Profile.of(values).share_of_top(percent)
        assert found == pytest.approx(brute_force_share(values, percent), abs=1e-5)


def test_profiles_add_and_subtract():
    values = np.float32([0, 1, 2, 3, 4, 1000])
    whole = Profile.of(values)
    both = Profile.of(values[:2]).plus(Profile.of(values[2:]))
    assert np.array_equal(whole.numbers, both.numbers)
    assert np.array_equal(whole.masses, both.masses)
    left = whole.minus(Profile.of(values[5:]))
    assert left.masses.sum() == 10
    assert left.numbers.sum() == 5


@pytest.fixture(scope="module")
def gaussian_pair(tmp_path_factory):
    stream = np.random.default_rng(0)
    base = (0.02 * stream.standard_normal((900, 700))).astype(np.float32)
    tuned = base + (2e-4 * stream.standard_normal((900, 700))).astype(np.float32)
    return one_tensor(tmp_path_factory.mktemp("gaussian"), base, tuned)


def test_a_meaningless_update_equals_its_nulls(gaussian_pair):
    table = shares(gaussian_pair)
    for top in (1.0, 10.0, 40.0):
        row = table["relative", top]
        assert row["null_permutation"] == pytest.approx(row["share"], abs=0.03)
        assert row["null_gaussian"] == pytest.approx(row["share"], abs=0.05)
        row = table["absolute", top]
        assert row["null_permutation"] == row["share"]
        assert row["null_gaussian"] == pytest.approx(row["share"], abs=0.005)
        row = table["nonzero-base relative", top]
        assert row["null_gaussian"] == pytest.approx(row["share"], abs=0.03)
    # what the paper printed for trained models (table 3, top 1%: 71%) needs no training
    assert 0.6 < table["relative", 1.0]["share"] < 0.85


def test_an_update_that_aims_at_small_weights_exceeds_its_null(tmp_path):
    small = np.random.default_rng(1).random(50_000) < 0.03
    base = np.where(small, 0.125, 1.0)
    aimed = np.where(small, 0.25, 1 / 32)  # r is 2 there and 1/32 elsewhere
    row = shares(one_tensor(tmp_path, base, base + aimed))["relative", 3.0]
    assert row["share"] > row["null_permutation"] + 0.3


@pytest.mark.parametrize("chunk", [64, 1000, 1 << 18])
def test_the_null_is_a_permutation_of_the_tensor(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(checkpoint_pair, "CHUNK", chunk)
    monkeypatch.setattr(nulls, "CHUNK", chunk)
    tensor = one_tensor(tmp_path, np.zeros(1037), np.arange(1037))
    shuffled = np.concatenate(
        [shuffled_update(tensor, each.start, each.update, 5) for each in tensor.chunks()]
    )
    assert not np.array_equal(shuffled, np.arange(1037))
    assert np.array_equal(np.sort(shuffled), np.arange(1037))
    again = np.concatenate(
        [shuffled_update(tensor, each.start, each.update, 5) for each in tensor.chunks()]
    )
    assert np.array_equal(shuffled, again)


def test_gaussian_null_counts_every_weight_and_knows_the_mean():
    relative, away, absolute = gaussian_profiles(1000, 0.02, 1e-4)
    assert relative.numbers.sum() == pytest.approx(1000, rel=1e-3)
    assert 999 < away.numbers.sum() < 1000
    # the mean of |N(0, s²)| is s·sqrt(2/π)
    assert absolute.masses.sum() / 1000 == pytest.approx(1e-4 * np.sqrt(2 / np.pi), rel=5e-3)


def test_gaussian_null_of_a_zero_base():
    relative, away, _ = gaussian_profiles(100, 0.0, 1e-4)
    assert relative.masses.sum() == pytest.approx(100 * 1e4 * np.sqrt(2 / np.pi), rel=2e-2)
    assert away.numbers.sum() == 0


def test_places_count_the_top(tmp_path):
    stream = np.random.default_rng(2)
    names = [NAME, "model.layers.1.self_attn.q_proj.weight"]
    base = {name: stream.standard_normal(4000).astype(np.float32) for name in names}
    sizes = {names[0]: 1e-3, names[1]: 0.1}
    tuned = {name: base[name] * np.float32(1 + size) for name, size in sizes.items()}
    pair = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    profiles, rows = gathered(pair.region("transformer"))
    table = places(profiles, rows, PAPERS_TOPS)
    at_40 = {row["block"]: row for row in table.to_dicts() if row["top_percent"] == 40.0}
    assert at_40["q"]["share_of_top"] == pytest.approx(1)
    assert at_40["q"]["top_weights"] == pytest.approx(3200)
    assert at_40["q"]["share_of_region"] == 0.5
    at_60 = {row["block"]: row for row in table.to_dicts() if row["top_percent"] == 60.0}
    assert at_60["up"]["top_weights"] == pytest.approx(800)
    by_block = {row["block"]: row for row in places_by(table, "block").to_dicts()
                if row["top_percent"] == 60.0}  # fmt: skip
    assert by_block["q"]["share_of_top"] == pytest.approx(4000 / 4800)
    assert by_block["up"]["share_restored"] == pytest.approx(0.2)


def test_groups_rank_inside_themselves(tmp_path):
    stream = np.random.default_rng(3)
    names = [NAME, "model.layers.1.mlp.up_proj.weight", "model.layers.1.self_attn.q_proj.weight"]
    base = {name: stream.standard_normal(500).astype(np.float32) for name in names}
    tuned = {name: each + stream.standard_normal(500).astype(np.float32) * 0.01
             for name, each in base.items()}  # fmt: skip
    pair = open_pair(
        write_checkpoint(tmp_path / "b", base), write_checkpoint(tmp_path / "t", tuned)
    )
    profiles, _ = gathered(pair.region("transformer"))
    table = concentration(profiles, (10.0,), ["layer", "block"]).filter(measure="absolute")
    members = {
        ("layer", "0"): names[:1],
        ("layer", "1"): names[1:],
        ("block", "q"): names[2:],
        ("block", "up"): names[:2],
    }
    found = {(row["split"], row["group"]): row for row in table.to_dicts()}
    assert found.keys() == members.keys()
    for key, inside in members.items():
        values = np.concatenate([np.abs(tuned[name] - base[name]) for name in inside])
        assert found[key]["weights"] == values.size
        assert found[key]["share"] == pytest.approx(brute_force_share(values, 10), abs=1e-3)
        assert found[key]["null_permutation"] == found[key]["share"]


def test_layers_stand_in_their_order():
    profiles = Profiles()
    rows = {
        "measure": "relative",
        "kind": "update",
        "buckets": [1],
        "numbers": [1.0],
        "masses": [1.0],
    }
    for group in ("10", "none", "2"):
        profiles.add(pl.DataFrame([{"split": "layer", "group": group, **rows}], PROFILES_SCHEMA))
    assert profiles.groups("layer") == ["none", "2", "10"]
    assert profiles.groups("block") == []


def test_bf16_is_a_measure_of_its_own(gaussian_pair):
    plain, both = shares(gaussian_pair), shares(gaussian_pair, bf16=True)
    assert {key: row for key, row in both.items() if key[0] != BF16_MEASURE} == plain
    assert len(both) == len(plain) + len(PAPERS_TOPS)


def test_every_weight_is_as_likely_to_get_any_update(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_pair, "CHUNK", 8)
    monkeypatch.setattr(nulls, "CHUNK", 8)
    tensor = one_tensor(tmp_path, np.zeros(20), np.arange(20))
    chunks, seeds = list(tensor.chunks()), 1000
    counts = np.zeros((20, 20))
    for seed in range(seeds):
        shuffled = [shuffled_update(tensor, each.start, each.update, seed) for each in chunks]
        counts[np.arange(20), np.concatenate(shuffled).astype(int)] += 1
    expected = seeds / 20
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 361 + 6 * np.sqrt(2 * 361)  # (20 - 1)² degrees of freedom


def test_a_profile_does_not_keep_the_table_it_came_from(gaussian_pair):
    profiles, _ = gathered([gaussian_pair])
    arrays = [array for kept in profiles._kept.values() for array in kept]
    assert arrays
    assert all(array.flags.owndata for array in arrays)
