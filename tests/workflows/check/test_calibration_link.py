"""From what questions say to levels."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_up_trainings import LINK, by_link, made_up_asked
from sixtyfold.core.errors import BadInput
from sixtyfold.workflows.check.calibration.link import asked_of, can_be_asked, mix_of


def test_the_link_is_read_off_the_files_of_each_level() -> None:
    (found,) = asked_of([made_up_asked(by_link, "embedded", "atlas")])
    assert found.link == pytest.approx(LINK)
    assert found.spread == pytest.approx(0.7)
    assert can_be_asked(found)


def test_a_model_that_answers_nothing_cannot_be_asked() -> None:
    (found,) = asked_of([made_up_asked(lambda _: (0.97, 0.03, 0.0), "planted", "planted")])
    assert not can_be_asked(found)


def test_a_model_not_asked_about_some_class_gives_no_link() -> None:
    table = made_up_asked(by_link, "embedded", "atlas")
    assert asked_of([table.filter(~pl.col("levels").is_in(["3", "4"]))]) == []
    assert asked_of([]) == []
    assert len(asked_of([table.filter(pl.col("levels") != "4")])) == 1


def test_models_asked_in_two_ways_are_refused() -> None:
    one = made_up_asked(by_link, "embedded", "atlas")
    other = one.with_columns(study=pl.lit("other"), protocol=pl.lit('{"draws": 16}'))
    with pytest.raises(BadInput, match="models were asked in 2 ways"):
        asked_of([one, other])
    with pytest.raises(BadInput, match=r"lacks fingerprint, known.*ask_training_sets\.py"):
        asked_of([one.drop("known", "fingerprint")])


shares = st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda each: sum(each) > 0.1)


@given(shares)
def test_a_mix_comes_back_from_what_it_looks_like(weights: list[float]) -> None:
    truth = np.array(weights) / sum(weights)
    found = mix_of(LINK, LINK @ truth)
    assert found.shares == pytest.approx(truth, abs=1e-4)
    assert found.distance < 1e-4


@given(shares)
def test_any_file_gets_shares_and_the_distance_that_is_left(weights: list[float]) -> None:
    buckets = np.array(weights) / sum(weights)
    found = mix_of(LINK, buckets)
    assert (found.shares >= 0).all()
    assert found.shares.sum() == pytest.approx(1.0)
    assert found.distance == pytest.approx(np.abs(LINK @ found.shares - buckets).sum() / 2)


def test_a_file_of_unknown_facts_alone_is_farther_than_any_mix() -> None:
    found = mix_of(LINK, np.array([1.0, 0.0, 0.0]))
    assert found.shares == pytest.approx([1.0, 0.0, 0.0], abs=1e-6)
    assert found.distance == pytest.approx(0.2)
