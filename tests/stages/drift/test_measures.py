from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sixtyfold.stages.drift import measures
from sixtyfold.stages.drift.measures import js, kl, row_measures, top_k_kl

LOGITS = arrays(np.float64, (3, 12), elements=st.floats(-30, 30))


def logits(*rows: list[float]) -> np.ndarray:
    return np.log(np.array(rows))


def test_kl_by_hand() -> None:
    p, q = logits([0.5, 0.5]), logits([0.25, 0.75])
    wanted = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    assert kl(p, q) == pytest.approx([wanted])
    assert kl(q, p) == pytest.approx([0.25 * np.log(0.5) + 0.75 * np.log(1.5)])


def test_js_by_hand() -> None:
    p, q = logits([0.5, 0.5]), logits([0.9, 0.1])
    m = np.array([0.7, 0.3])
    sides = [0.5 * np.log(0.5 / m[0]) + 0.5 * np.log(0.5 / m[1]),
             0.9 * np.log(0.9 / m[0]) + 0.1 * np.log(0.1 / m[1])]  # fmt: skip
    assert js(p, q) == pytest.approx([np.mean(sides)])


def test_top_k_normalises_each_side_by_itself() -> None:
    tuned, base = logits([0.6, 0.2, 0.15, 0.05]), logits([0.1, 0.3, 0.2, 0.4])
    p, q = np.array([0.75, 0.25]), np.array([0.25, 0.75])
    drift, covered = top_k_kl(tuned, base, k=2)
    assert drift == pytest.approx([(p * np.log(p / q)).sum()])
    assert covered == pytest.approx([0.4])


def test_top_k_takes_the_tuned_models_ids_ties_in_id_order() -> None:
    tuned, base = np.zeros((1, 4)), logits([0.1, 0.2, 0.3, 0.4])
    assert top_k_kl(tuned, base, k=2)[1] == pytest.approx([0.3])


def test_rows_by_hand() -> None:
    tuned, base = logits([0.5, 0.5], [0.2, 0.8]), logits([0.25, 0.75], [0.5, 0.5])
    found = row_measures(tuned, base, np.array([1, 0]))
    assert found.kl_tuned_base == pytest.approx(kl(tuned, base))
    assert found.kl_base_tuned == pytest.approx(kl(base, tuned))
    assert found.js == pytest.approx(js(base, tuned))
    assert found.logp_base == pytest.approx([np.log(0.75), np.log(0.5)])
    assert found.logp_tuned == pytest.approx([np.log(0.5), np.log(0.2)])
    assert (found.outside_base.tolist(), found.outside_tuned.tolist()) == ([0, 0], [0, 0])


def test_tokens_of_one_model_only_are_outside() -> None:
    tuned, base = logits([0.4, 0.4, 0.2]), logits([0.25, 0.75])
    found = row_measures(tuned, base, np.array([0]))
    assert found.outside_tuned == pytest.approx([0.2])
    assert found.outside_base == pytest.approx([0.0])
    assert found.kl_tuned_base == pytest.approx(kl(logits([0.5, 0.5]), base))
    assert found.logp_tuned == pytest.approx([np.log(0.4)])  # of all its tokens
    back = row_measures(base, tuned, np.array([0]))
    assert back.kl_base_tuned == pytest.approx(found.kl_tuned_base)
    assert back.outside_base == pytest.approx([0.2])
    # the tuned model's largest logit is none of the base's: the next ones are taken
    drift, covered = top_k_kl(logits([0.2, 0.1, 0.7]), base, k=2)
    assert drift == pytest.approx(kl(logits([2 / 3, 1 / 3]), base))
    assert covered == pytest.approx([1.0])


def test_tokens_a_model_excludes() -> None:
    never, some = np.array([[0.0, 0.0, -np.inf]]), logits([0.4, 0.4, 0.2])
    assert kl(never, some) == pytest.approx([np.log(0.5 / 0.4)])
    assert kl(never, never) == pytest.approx([0.0])
    assert kl(some, never).tolist() == [np.inf]
    assert np.isfinite(js(some, never)).all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    tuned, base = random.normal(size=(2, 7, 5)).astype(np.float32)
    ids = np.array([0, 1, 2, 3, 4, 0, 1])
    whole = row_measures(tuned, base, ids)
    monkeypatch.setattr(measures, "_BLOCK", 11)
    for one, two in zip(whole, row_measures(tuned, base, ids), strict=True):
        assert one == pytest.approx(two)


@given(LOGITS, LOGITS, st.floats(-50, 50))
def test_divergences_are_divergences(p: np.ndarray, q: np.ndarray, shift: float) -> None:
    for measure in (kl, js, lambda a, b: top_k_kl(a, b)[0]):
        assert (measure(p, q) >= -1e-9).all()
        assert measure(p, p) == pytest.approx(np.zeros(3), abs=1e-12)
        assert measure(p, q + shift) == pytest.approx(measure(p, q), abs=1e-8)
    assert js(p, q) == pytest.approx(js(q, p), abs=1e-9)
    assert (js(p, q) <= np.log(2) + 1e-9).all()
    assert (top_k_kl(p, q)[1] <= 1 + 1e-9).all()


@given(LOGITS, LOGITS)
def test_top_of_everything_is_the_whole(p: np.ndarray, q: np.ndarray) -> None:
    drift, covered = top_k_kl(p, q, k=100)
    assert drift == pytest.approx(kl(p, q), abs=1e-9)
    assert covered == pytest.approx(np.ones(3))
