from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from made_up_run import answers, facts, stage
from sixtyfold.core.errors import BadInput
from sixtyfold.core.replicates import replicated_difference
from sixtyfold.core.stage import Finished, finished
from sixtyfold.workflows.search_replicas import over_replicas

RIGHT = {"tuned": 20, "interpolation": 22, "svd": 26}


def searched(path: Path, seed: int, per_relation: int = 40) -> Finished:
    """A made-up search: every arm answers a few facts more or fewer by its seed."""
    table = facts(per_relation)
    parts = []
    for arm, count in RIGHT.items():
        right = {"capital": count + seed, "currency": count - seed, "river": 10 + seed}
        parts.append(answers(table, right).select(pl.lit(arm).alias("arm"), pl.all()))
    made = finished(stage(path, "search", {"test_answers": pl.concat(parts)}), "search")
    inputs = {"base": "b", "facts": "f", "tuned": str(seed)}
    return made._replace(manifest={**made.manifest, "inputs": inputs})


def with_spec(search: Finished, **options: object) -> Finished:
    manifest = {**search.manifest, "spec": {**search.manifest["spec"], **options}}
    return search._replace(manifest=manifest)


def test_a_tuning_counts_once(tmp_path: Path) -> None:
    one, again = searched(tmp_path / "one", 0), searched(tmp_path / "again", 0)
    for second in (one, again):
        with pytest.raises(BadInput, match="searched one tuned model; a second look"):
            over_replicas([one, second])


def test_searches_of_other_options_are_no_repetitions(tmp_path: Path) -> None:
    one, other = searched(tmp_path / "one", 0), searched(tmp_path / "other", 1)
    with pytest.raises(BadInput, match=r"other was searched with another top than .*one"):
        over_replicas([with_spec(one, top=[5]), with_spec(other, top=[1, 60])])
    assert over_replicas([with_spec(one, seed=0, tuned="a"), with_spec(other, seed=1, tuned="b")])[
        "replicas"
    ].to_list()


def test_differences_are_those_of_the_hits(tmp_path: Path) -> None:
    searches = [searched(tmp_path / str(seed), seed) for seed in range(3)]
    found = over_replicas(searches)
    row = found.row(
        by_predicate=(pl.col("domain") == "in") & (pl.col("reference") == "tuned")
        & (pl.col("arm") == "svd"),
        named=True,
    )  # fmt: skip
    assert row["difference"] == pytest.approx(6 / 40)
    assert row["accuracy"] == pytest.approx(26 / 40)
    assert (row["replicas"], row["facts"]) == (3, 80)
    table = searches[0].table("test_answers").filter(pl.col("domain") == "in")
    strata = table.filter(pl.col("arm") == "tuned")["relation"].to_list()
    hits = {
        arm: np.stack([
            each.table("test_answers").filter(pl.col("arm") == arm, pl.col("domain") == "in")["hit"]
            for each in searches
        ])
        for arm in ("tuned", "svd")
    }  # fmt: skip
    expected = replicated_difference(hits["tuned"], hits["svd"], strata)
    assert row["difference"] == pytest.approx(expected.value)
    assert row["low"] < expected.lower < expected.value < expected.upper < row["high"]
    assert row["p"] < 0.05
    assert row["p_holm"] >= row["p"]
    assert set(found["reference"]) == {"tuned", "interpolation"}
    assert set(found.filter(pl.col("reference") == "tuned")["arm"]) == {"interpolation", "svd"}


def test_one_search_is_no_sample(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="1 search was given"):
        over_replicas([searched(tmp_path / "one", 0)])


def test_searches_over_other_facts_are_refused(tmp_path: Path) -> None:
    one, other = searched(tmp_path / "one", 0), searched(tmp_path / "other", 1, per_relation=50)
    with pytest.raises(BadInput, match="other arms or facts"):
        over_replicas([one, other])


def test_a_search_without_a_test_is_refused(tmp_path: Path) -> None:
    bare = finished(stage(tmp_path / "bare", "search"), "search")
    with pytest.raises(BadInput, match="searched without a test"):
        over_replicas([searched(tmp_path / "one", 0), bare])
