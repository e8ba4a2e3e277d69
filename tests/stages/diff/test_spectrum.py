from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_checkpoints import write_checkpoint, write_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.stages.diff import spectrum as spectra
from sixtyfold.stages.diff.spectrum import (
    RANKS,
    SPECTRUM_SCHEMA,
    chance_shares,
    chance_stable_rank,
    is_matrix,
    spectrum,
    spectrum_row,
)

NAME = "model.layers.3.mlp.up_proj.weight"


def pair_of(folder, update, name=NAME):
    write_checkpoint(folder / "b", {name: np.zeros_like(update, np.float32)})
    write_checkpoint(folder / "t", {name: np.float32(update)})
    return open_pair(folder / "b", folder / "t").tensors[name]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pairs")


def test_by_hand(tmp_path):
    update = np.zeros((3, 4))
    update[0, 2], update[1, 0], update[2, 3] = 4, -2, 2  # singular values 4, 2, 2
    row = spectrum_row(pair_of(tmp_path, update), 0)
    assert set(row) == set(SPECTRUM_SCHEMA)
    assert (row["layer"], row["block"], row["rows"], row["columns"]) == (3, "up", 3, 4)
    assert row["sum_squared"] == 24
    assert row["largest"] == pytest.approx(4)
    assert row["stable_rank"] == pytest.approx(24 / 16)
    shares = [row[f"share_{rank}"] for rank in RANKS]
    assert shares == pytest.approx([16 / 24, 20 / 24, 1, 1, 1, 1, 1])
    assert row["error"] == 0


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(2, 40), columns=st.integers(2, 40), seed=st.integers(0, 5))
def test_equals_a_full_decomposition(place, rows, columns, seed):
    update = np.random.default_rng(seed).standard_cauchy((rows, columns)).astype(np.float32)
    found = spectrum(pair_of(place, update), 0)
    expected = np.linalg.svd(update.astype(np.float64), compute_uv=False) ** 2
    assert found.squares == pytest.approx(expected, rel=1e-9, abs=1e-9 * expected[0])
    assert found.total == pytest.approx(expected.sum())


@pytest.mark.parametrize("shape", [(200, 260), (260, 200)])
@pytest.mark.parametrize("kind", ["flat", "low rank", "decaying"])
def test_large_matrices_stay_inside_the_error_they_tell(tmp_path, monkeypatch, shape, kind):
    stream = np.random.default_rng(0)
    update = stream.standard_normal(shape)
    if kind == "low rank":
        left, right = stream.standard_normal((shape[0], 5)), stream.standard_normal((5, shape[1]))
        update = left @ right
    if kind == "decaying":
        left, values, right = np.linalg.svd(update, full_matrices=False)
        update = left * (values / np.arange(1, values.size + 1)) @ right
    tensor = pair_of(tmp_path, update)
    exact = spectrum(tensor, 0)
    for name, value in (("EXACT_SIDE", 100), ("_BAND", 20_000), ("_WIDTH", 24),
                        ("RANKS", RANKS[:5])):  # fmt: skip
        monkeypatch.setattr(spectra, name, value)
    found = spectrum(tensor, 0)
    assert found.total == pytest.approx(exact.total, rel=1e-6)
    assert found.error < 0.01
    for rank in RANKS[:5]:
        missed = exact.share(rank) - found.share(rank)
        assert -1e-5 < missed < found.error + 1e-5
    again, other = spectrum(tensor, 0), spectrum(tensor, 1)
    assert np.array_equal(found.squares, again.squares)
    assert not np.array_equal(found.squares, other.squares)


def test_bands_change_nothing(tmp_path, monkeypatch):
    update = np.random.default_rng(2).standard_normal((50, 30))
    for turned in (update, update.T):
        tensor = pair_of(tmp_path, turned)
        monkeypatch.setattr(spectra, "_BAND", 1 << 22)
        whole = spectrum(tensor, 0)
        monkeypatch.setattr(spectra, "_BAND", 70)
        assert spectrum(tensor, 0).squares == pytest.approx(whole.squares, rel=1e-10)


@pytest.mark.parametrize("shape", [(400, 400), (900, 300), (150, 1200)])
def test_chance_is_what_independent_entries_give(tmp_path, shape):
    row = spectrum_row(pair_of(tmp_path, np.random.default_rng(1).standard_normal(shape)), 0)
    assert row["stable_rank_chance"] == chance_stable_rank(*shape)
    assert row["stable_rank"] == pytest.approx(row["stable_rank_chance"], rel=0.06)
    for rank in RANKS[2:]:
        assert row[f"share_{rank}"] == pytest.approx(row[f"chance_{rank}"], rel=0.05)


def test_chance_of_all_ranks_is_everything():
    assert chance_shares(40, 90)[-1] == pytest.approx(1)
    assert chance_stable_rank(100, 100) == 25  # 100 / (1 + 1)²
    assert chance_shares(40, 90) == chance_shares(90, 40)


def test_no_change_has_no_spectrum(tmp_path, monkeypatch):
    tensor = pair_of(tmp_path, np.zeros((5, 4)))
    for side in (2048, 2):
        monkeypatch.setattr(spectra, "EXACT_SIDE", side)
        row = spectrum_row(tensor, 0)
        assert row["share_1"] is None
        assert row["stable_rank"] is None
        assert row["largest"] == 0


def test_added_rows_stay_out(tmp_path):
    name = "model.embed_tokens.weight"
    stream = np.random.default_rng(0)
    base, more = stream.standard_normal((6, 4)), stream.standard_normal((9, 4))
    write_checkpoint(tmp_path / "b", {name: np.float32(base)})
    write_checkpoint(tmp_path / "t", {name: np.float32(more)})
    row = spectrum_row(open_pair(tmp_path / "b", tmp_path / "t").tensors[name], 0)
    expected = np.square(np.float32(more)[:6] - np.float32(base)).sum(dtype=np.float64)
    assert (row["rows"], row["sum_squared"]) == (6, pytest.approx(expected))


def test_vectors_are_no_matrices(tmp_path):
    pair = open_pair(*write_pair(tmp_path))
    matrices = {name for name, tensor in pair.tensors.items() if is_matrix(tensor)}
    assert {name for name in pair.tensors if "bias" in name or "norm" in name}.isdisjoint(matrices)
    assert len(matrices) == 6
