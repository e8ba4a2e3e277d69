from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_up_checkpoints import moved, random_values, write_checkpoint
from sixtyfold.core import checkpoint_pair
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.errors import BadInput, Corrupted
from sixtyfold.stages.diff import nulls
from sixtyfold.stages.diff.cuts import Sorter, find_cuts
from sixtyfold.stages.diff.overlap import matched, overlap

NAME = "model.layers.0.mlp.up_proj.weight"
SECOND = "model.layers.1.mlp.up_proj.weight"


def three(folder, base, one, other):
    for name, weights in (("b", base), ("1", one), ("2", other)):
        values = {key: np.float32(each) for key, each in weights.items()}
        write_checkpoint(folder / name, values)
    pair = open_pair(folder / "b", folder / "1")
    return matched(pair.region("transformer"), open_pair(folder / "b", folder / "2"))


def rows_of(found):
    return {(row["measure"], row["top_percent"]): row for row in found.table.to_dicts()}


@settings(max_examples=80, deadline=None)
@given(
    values=st.lists(st.one_of(st.sampled_from([0.0, 1.0, 1.0000001, 2.0, 1e-30]),
                              st.floats(0, 2.0**100, width=32)), min_size=1, max_size=50),
    wanted=st.lists(st.integers(0, 50), min_size=1, max_size=4),
    chunk=st.integers(1, 20),
)  # fmt: skip
def test_tops_equal_a_stable_sort(values, wanted, chunk):
    scores = np.abs(np.float32(values))
    wanted = sorted(min(number, scores.size) for number in wanted)
    chunks = [scores[at : at + chunk] for at in range(0, scores.size, chunk)]
    (cuts,) = find_cuts(lambda: ([each] for each in chunks), wanted)
    sorter = Sorter(cuts)
    classes = np.concatenate([sorter.classes(each) for each in chunks])
    order = np.argsort(-scores, kind="stable")
    for number, size in enumerate(wanted):
        assert set(np.flatnonzero(classes <= number)) == set(order[:size])


def test_by_hand(tmp_path):
    base = {NAME: [1, 1, 1, 1, 2]}
    one = {NAME: [1.5, 0.75, 1.125, 1, 4]}  # |Δ| .5 .25 .125 0 2, r .5 .25 .125 0 1
    other = {NAME: [1.75, 1.5, 1, 0.5, 2.5]}  # |Δ| .75 .5 0 .5 .5, r .75 .5 0 .5 .25
    found = overlap(three(tmp_path, base, one, other), [20.0, 40.0, 60.0], 0)
    rows = rows_of(found)
    # r: tops of one 4 | 4 0 | 4 0 1, of the other 0 | 0 1 | 0 1 3 (the tie goes to the first)
    assert [rows["relative", top]["common"] for top in (20, 40, 60)] == [0, 1, 2]
    assert [rows["relative", top]["weights"] for top in (20, 40, 60)] == [1, 2, 3]
    assert rows["relative", 60]["share_common"] == 2 / 3
    assert rows["relative", 60]["jaccard"] == 2 / 4
    assert rows["relative", 40]["jaccard"] == 1 / 3
    assert rows["relative", 20]["sign_agreement"] is None
    assert rows["relative", 60]["sign_agreement"] == 1 / 2  # 0 agrees, 1 does not
    # |Δ|: 4 | 4 0 | 4 0 1 and 0 | 0 1 | 0 1 3
    assert rows["absolute", 60]["common"] == 2
    assert found.totals["changed"] == 4
    assert found.totals["changed_other"] == 4
    assert found.totals["changed_both"] == 3
    assert found.totals["sign_agreement"] == 2 / 3
    dot = 0.5 * 0.75 - 0.25 * 0.5 + 2 * 0.5
    norms = np.sqrt((0.25 + 0.0625 + 0.015625 + 4) * (0.5625 + 3 * 0.25))
    assert found.totals["cosine"] == pytest.approx(dot / norms)


@pytest.mark.parametrize("chunk", [16, 1 << 18])
def test_equals_brute_force(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(checkpoint_pair, "CHUNK", chunk)
    monkeypatch.setattr(nulls, "CHUNK", chunk)
    base = random_values()
    one, other = moved(base, seed=1), moved(base, seed=2)
    tensors = three(tmp_path, base, one, other)
    tops = [5.0, 20.0, 50.0, 100.0]
    found = overlap(tensors, tops, 0)
    names = [tensor.name for tensor, _ in tensors]
    before, first, second = (
        np.concatenate([weights[name].ravel() for name in names]) for weights in (base, one, other)
    )
    changes = [first - before, second - before]
    divisor = np.abs(before) + np.float32(1e-8)
    for measure in ("relative", "absolute"):
        scores = [np.abs(each) / (divisor if measure == "relative" else 1) for each in changes]
        for top in tops:
            number = round(top / 100 * before.size)
            if number > min(np.count_nonzero(each) for each in changes):
                assert top == 100
                continue
            sets = [set(np.argsort(-each, kind="stable")[:number].tolist()) for each in scores]
            common = sorted(sets[0] & sets[1])
            row = rows_of(found)[measure, top]
            assert row["common"] == len(common)
            assert row["share_common"] == len(common) / number
            assert row["jaccard"] == len(common) / len(sets[0] | sets[1])
            signs = np.sign(changes[0][common]) * np.sign(changes[1][common])
            both = np.count_nonzero(signs)
            expected = np.count_nonzero(signs > 0) / both if both else None
            assert row["sign_agreement"] == expected


def test_a_top_of_unchanged_weights_says_nothing(tmp_path):
    base = {NAME: [1, 1, 1, 1, 1]}
    one, other = {NAME: [2, 3, 1, 1, 1]}, {NAME: [1, 1, 1, 2, 3]}
    rows = rows_of(overlap(three(tmp_path, base, one, other), [40.0, 60.0], 0))
    for measure in ("relative", "absolute"):
        assert rows[measure, 40]["share_common"] == 0
        # the third weight of both tops did not change: the first that did not, by position
        assert rows[measure, 60]["weights"] == 3
        for name in ("common", "share_common", "jaccard", "null_share_common"):
            assert rows[measure, 60][name] is None


def big_base(seed=0):
    stream = np.random.default_rng(seed)
    return {name: (0.02 * stream.standard_normal(60_000)) for name in (NAME, SECOND)}


def tuned(base, seed, share=None, scale=1e-4):
    """Random updates; with `share`, mixed with those of seed 99."""
    stream, common = np.random.default_rng(seed), np.random.default_rng(99)
    out = {}
    for name, each in base.items():
        own, same = stream.standard_normal(each.size), common.standard_normal(each.size)
        mixed = own if share is None else np.sqrt(1 - share) * own + np.sqrt(share) * same
        out[name] = each + scale * mixed
    return out


def test_unrelated_updates_overlap_as_their_null(tmp_path):
    base = big_base()
    found = overlap(three(tmp_path, base, tuned(base, 1), tuned(base, 2)), [1.0, 10.0], 0)
    rows = rows_of(found)
    for row in rows.values():
        assert row["share_common"] == pytest.approx(row["null_share_common"], abs=0.05)
    # by relative change even unrelated updates share much of their tops: the base is the same
    assert rows["relative", 10.0]["share_common"] > 0.5
    assert rows["absolute", 10.0]["share_common"] == pytest.approx(0.1, abs=0.02)
    assert found.totals["sign_agreement"] == pytest.approx(0.5, abs=0.01)
    assert found.totals["null_sign_agreement"] == pytest.approx(0.5, abs=0.01)
    assert abs(found.totals["cosine"]) < 0.02
    assert abs(found.totals["null_cosine"]) < 0.02


def test_related_updates_exceed_their_null(tmp_path):
    base = big_base()
    pair = three(tmp_path, base, tuned(base, 1, share=0.7), tuned(base, 2, share=0.7))
    found = overlap(pair, [10.0], 0)
    rows = rows_of(found)
    assert found.totals["cosine"] == pytest.approx(0.7, abs=0.02)
    assert found.totals["sign_agreement"] > found.totals["null_sign_agreement"] + 0.2
    row = rows["absolute", 10.0]
    assert row["jaccard"] > row["null_jaccard"] + 0.15
    assert row["sign_agreement"] > 0.9
    assert row["null_sign_agreement"] == pytest.approx(0.5, abs=0.1)
    assert rows["relative", 10.0]["jaccard"] > rows["relative", 10.0]["null_jaccard"] + 0.05


def test_a_model_overlaps_with_itself(tmp_path):
    base = random_values()
    one = moved(base)
    found = overlap(three(tmp_path, base, one, one), [10.0, 30.0], 0)
    for row in found.table.to_dicts():
        assert (row["jaccard"], row["share_common"], row["sign_agreement"]) == (1, 1, 1)
    assert found.totals["cosine"] == pytest.approx(1)


def test_no_change_has_no_agreement(tmp_path):
    base = random_values()
    found = overlap(three(tmp_path, base, base, base), [10.0], 0)
    assert found.totals["cosine"] is None
    assert found.totals["sign_agreement"] is None
    assert found.table["sign_agreement"].to_list() == [None, None]


def test_another_model_is_refused_by_name(tmp_path):
    base = random_values()
    shorter = {name: each for name, each in base.items() if "layers.1" not in name}
    write_checkpoint(tmp_path / "a", base)
    write_checkpoint(tmp_path / "c", shorter)
    one = open_pair(tmp_path / "a", tmp_path / "a").region("transformer")
    with pytest.raises(BadInput, match=r"no tensor 'model\.layers\.1\.mlp.*one base"):
        matched(one, open_pair(tmp_path / "c", tmp_path / "c"))


def test_nan_is_refused_by_name(tmp_path):
    base = random_values()
    broken = {**base, SECOND: np.full_like(base[SECOND], np.nan)}
    with pytest.raises(Corrupted, match=r"'model\.layers\.1\.mlp.* in --other"):
        overlap(three(tmp_path, base, base, broken), [10.0], 0)
