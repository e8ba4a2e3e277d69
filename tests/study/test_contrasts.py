from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

import toy_stages
from sixtyfold.core.errors import BadInput
from sixtyfold.core.replicates import replicated_difference
from sixtyfold.study.contrasts import Question, contrasts
from sixtyfold.study.drive import Driven, drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.plan import Inputs
from sixtyfold.study.store import LocalStore

INPUTS = Inputs(Place("atlas", "facts0"), {"m": Place("somewhere", "model0")}, frozenset())
SIZES = {
    "name": "sizes",
    "select": {"size": [4, 8, 10]},
    "tune": {"learning_rate": [1e-5, 3e-5]},
    "choose": "learning_rate",
}
LORA = {"name": "lora", "select": {"size": [4, 8]}, "tune": {"lora_rank": [2, 4]}}
SEEDS = 3
FACTS = toy_stages.FACTS


class Run:
    """A finished study of toy stages: the first `seed + size + 10^5 rate` of 20 facts are right."""

    def __init__(self, root: Path, **changed: Any) -> None:
        models = [{"name": "m", "model": "somewhere"}]
        values = {"name": "toy", "models": models, "seeds": list(range(SEEDS)), **changed}
        self.study = StudyFile.model_validate({"grids": [SIZES], **values})
        self.store = LocalStore(root)
        executor = LocalExecutor(self.store)
        self.done: Driven = drive(self.study, INPUTS, self.store, executor, lambda _: None)
        assert not self.done.failed

    def ask(self, vary: str | None, against: str | None, *grids: str) -> pl.DataFrame:
        question = Question(vary, against, grids)
        return contrasts(self.store, self.study, self.done.plan, question)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    with pytest.MonkeyPatch.context() as patch:
        toy_stages.use(patch)
        yield Run(tmp_path_factory.mktemp("sizes") / "store")


def hits(size: int) -> np.ndarray:
    """Return what the chosen rate (3e-5) answers: hits of 3 seeds on 20 facts."""
    return np.array([np.arange(FACTS) < seed + size + 3 for seed in range(SEEDS)])


def test_a_difference_is_that_of_paired_facts_and_seeds(sizes: Run) -> None:
    table = sizes.ask("size", "4").filter(pl.col("over") == "relations")
    assert table["size"].to_list() == ["8", "10"]
    strata = [f"r{index % 2}" for index in range(FACTS)]
    for row, size in zip(table.iter_rows(named=True), (8, 10), strict=True):
        expected = replicated_difference(hits(4), hits(size), strata)
        reach = stats.t.ppf(0.975, expected.freedom) * expected.error
        assert row["value"] == pytest.approx((size - 4) / FACTS)
        assert row["low"] == pytest.approx(row["value"] - reach)
        assert row["high"] == pytest.approx(row["value"] + reach)
        assert (row["facts"], row["seeds"], row["against"]) == (FACTS, SEEDS, "4")
        # The interval and the test are one: 0 inside, p above .05.
        assert (row["low"] <= 0 <= row["high"]) == (row["p"] >= 0.05)


def test_p_values_of_one_family_are_adjusted_together(sizes: Run) -> None:
    table = sizes.ask("size", "4").filter(pl.col("over") == "relations")
    small, large = sorted(table["p"])
    assert sorted(table["p_holm"]) == pytest.approx(
        [min(1, 2 * small), max(min(1, 2 * small), large)]
    )


def test_accuracy_alone_has_no_test(sizes: Run) -> None:
    table = sizes.ask(None, None).filter(pl.col("over") == "facts", pl.col("part").is_null())
    assert table["value"].to_list() == pytest.approx([hits(size).mean() for size in (4, 8, 10)])
    assert table["p"].null_count() == table.height
    assert (table["low"] < table["value"]).all()
    assert (table["value"] < table["high"]).all()


def test_against_base_is_the_untuned_model_for_every_seed(sizes: Run) -> None:
    table = sizes.ask(None, "base").filter(pl.col("over") == "relations")
    # The toy's untuned model answers one fact of twenty.
    expected = [hits(size).mean() - 1 / FACTS for size in (4, 8, 10)]
    assert table["value"].to_list() == pytest.approx(expected)
    assert table["against_keys"].list.n_unique().to_list() == [1, 1, 1]


def test_levels_with_too_few_facts_have_no_mean_over_levels(sizes: Run) -> None:
    table = sizes.ask("size", "4")
    assert not [over for over in table["over"] if over.startswith("levels")]
    assert set(table["part"].drop_nulls()) == {"level 4"}


def test_grids_are_compared_where_size_and_levels_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_stages.use(monkeypatch)
    one = {"name": "slow", "select": {"size": [8, 10]}, "tune": {"learning_rate": 1e-5}}
    run = Run(tmp_path / "store", grids=[SIZES, one])
    table = run.ask("grid", "slow").filter(pl.col("over") == "relations")
    assert table["size"].to_list() == ["8", "10"]
    assert table["grid"].unique().to_list() == ["sizes"]
    assert table["value"].to_list() == pytest.approx([2 / FACTS, 2 / FACTS])


def test_other_axes_of_a_grid_are_kept_apart_and_can_vary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_stages.use(monkeypatch)
    run = Run(tmp_path / "store", grids=[{**LORA, "tune": {"learning_rate": [1e-5, 3e-5]}}])
    by_size = run.ask("size", "4").filter(pl.col("over") == "relations")
    assert by_size["options"].to_list() == ["learning_rate 1e-05", "learning_rate 3e-05"]
    by_rate = run.ask("learning_rate", "1.0e-5").filter(pl.col("over") == "relations")
    assert by_rate["value"].to_list() == pytest.approx([2 / FACTS, 2 / FACTS])
    with pytest.raises(BadInput, match="two trainings have grid lora and the same"):
        run.ask("grid", "lora")


def test_seeds_that_only_one_side_has_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_stages.use(monkeypatch)
    run = Run(tmp_path / "store")
    gone = [
        cell for cell in run.done.plan.cells if str(cell.labels.get("size")) == "8" and cell.chosen
    ]
    run.store.forget(run.done.plan.jobs[gone[0].jobs["test"]])
    table = run.ask("size", "4").filter(pl.col("over") == "relations")
    assert dict(zip(table["size"], table["seeds"], strict=True)) == {"8": 2, "10": 3}


@pytest.mark.parametrize(
    ("vary", "against", "grids", "message"),
    [
        ("sise", "4", (), "--vary sise was given.*did you mean 'size'.*allowed here"),
        ("size", "5", (), "--against 5 was given.*values of size that were asked: 10, 4, 8"),
        ("size", "4", ("other",), "no test results of trained models of the grids other"),
    ],
)
def test_what_is_not_there_is_named(
    sizes: Run, vary: str, against: str, grids: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        sizes.ask(vary, against, *grids)
