"""Learning rates, watched trainings and size ladders on the planted model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.stages.select.run import run as select
from sixtyfold.stages.select.spec import SelectSpec
from sixtyfold.workflows.ladder import answer, ladder_table, wanted_sets
from sixtyfold.workflows.tuning import best_rate, plan, run
from sixtyfold.workflows.tuning_spec import TuningSpec


def spec(planted: Path, selection: Path, out: Path, **more: Any) -> TuningSpec:
    options = {
        "model": str(planted),
        "facts": str(planted),
        "selection": selection,
        "out": out,
        "dtype": "float32",
        "batch": 4,
        "epochs": 4,
        "learning_rate": 1e-3,
    }
    return TuningSpec.parse({**options, **more})


@pytest.fixture(scope="module")
def ladder(planted: Path, probed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ladder") / "sets"
    options: dict[str, Any] = {"levels": "3,4", "size": "4,8,16", "replicas": 3}
    return select(SelectSpec(facts=str(planted), probe=probed, out=out, **options)).path


@pytest.fixture(scope="module")
def climbed(
    planted: Path, probed: Path, ladder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    out = tmp_path_factory.mktemp("climbed") / "out"
    options = {"ladder": "4,16", "probe": probed, "learning_rates": (1e-6, 1e-3)}
    return run(spec(planted, ladder, out, **options))


def test_every_set_is_trained_at_the_rate_chosen_for_its_size(climbed: Any) -> None:
    table, answers = climbed.table("ladder"), climbed.table("answers")
    assert table["size"].to_list() == [4, 16]
    trained = answers.select("size", "replica", "learning_rate").unique()
    # Replica 0 with both rates, two further replicas with the chosen one.
    assert trained.height == 2 * (2 + 2)
    for size, rate in table.select("size", "learning_rate").iter_rows():
        later = trained.filter((pl.col("size") == size) & (pl.col("replica") > 0))
        assert set(later["learning_rate"]) == {rate}
    assert set(answers["split"]) == {"dev", "test"}


def test_the_chosen_size_is_left_as_a_checkpoint(climbed: Any) -> None:
    from sixtyfold.core.stage import finished

    chosen = climbed.json("chosen")
    tuned = finished(climbed.path / "tuned", "tune")
    assert tuned.manifest["rows"]["examples"] == chosen["enough"]
    assert not (climbed.path / "training").exists()


def test_the_same_ladder_again_trains_nothing(
    planted: Path, probed: Path, ladder: Path, climbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sixtyfold.workflows.ladder.trained_answers", lambda *_: pytest.fail("trained again")
    )
    options = {"ladder": "4,16", "probe": probed, "learning_rates": (1e-6, 1e-3)}
    again = run(spec(planted, ladder, climbed.path, **options))
    assert again.fingerprint == climbed.fingerprint


def test_plan_counts_trainings(planted: Path, ladder: Path, tmp_path: Path) -> None:
    told = plan(spec(planted, ladder, tmp_path / "o", ladder="all", learning_rates=(1e-4, 1e-3)))
    assert told["trainings"] == 3 * 3 + 3 + 1
    assert told["sizes"] == "4, 8, 16"


def test_rates_are_tried_and_the_best_is_kept(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    done = run(spec(planted, selected, tmp_path / "o", learning_rates=(1e-7, 1e-3), epochs=20))
    rates = done.table("rates")
    assert rates["learning_rate"].to_list() == [1e-7, 1e-3]
    assert done.json("chosen")["learning_rate"] == best_rate(rates) == 1e-3
    assert (done.path / "tuned" / "model.safetensors").is_file()


def test_of_equal_rates_the_smallest_is_best() -> None:
    table = pl.DataFrame({"learning_rate": [1e-3, 1e-5, 1e-4], "value": [0.5, 0.5, 0.4]})
    assert best_rate(table) == 1e-5


def test_a_watched_training_ends_with_the_same_weights(
    planted: Path, selected: Path, probed: Path, tmp_path: Path
) -> None:
    alone = run(spec(planted, selected, tmp_path / "alone"))
    watched = run(spec(planted, selected, tmp_path / "watched", watch=8, probe=probed))
    both = [(each.path / "model.safetensors").read_bytes() for each in (alone, watched)]
    assert both[0] == both[1]
    assert (watched.path / "watch" / "watch.json").is_file()
    assert watched.manifest["inputs"]["watched_facts"]


def answers(hits: dict[int, np.ndarray[Any, Any]], split: str = "test") -> pl.DataFrame:
    """Make an answers table of hits [replicas, facts] by size; two relations."""
    rows = [
        {
            "size": size,
            "replica": replica,
            "fact_id": f"f{fact:03d}",
            "relation": "ab"[fact % 2],
            "domain": "in",
            "split": split,
            "level": None,
            "hit": bool(hit),
            "exact": bool(hit),
            "ended": True,
        }
        for size, grid in hits.items()
        for replica, row in enumerate(grid)
        for fact, hit in enumerate(row)
    ]
    return pl.DataFrame(rows)


def table(test: dict[int, Any], dev: dict[int, Any], delta: float = 0.05) -> pl.DataFrame:
    both = pl.concat([answers(test), answers(dev, "dev")])
    return ladder_table(both, dict.fromkeys(test, 1e-4), delta)


def some(share: float, facts: int = 400) -> np.ndarray[Any, Any]:
    """Hits of the first facts, equal in three replicas."""
    row = np.arange(facts) < share * facts
    return np.stack([row] * 3)


def test_smallest_size_near_the_best_is_enough() -> None:
    sizes = {60: some(0.79), 240: some(0.8), 960: some(0.8)}
    found = table(sizes, {60: some(0.7), 240: some(0.9), 960: some(0.9)})
    # 240 and 960 are equal on dev: the smaller is the best; 60 is 1 point below it on test.
    told = answer(found, 5)
    assert told == {"enough": 60, "best": 240, "hurts": [], "delta_points": 5}
    below = found.filter(pl.col("size") == 60).row(0, named=True)
    assert below["below_best"] == pytest.approx(0.01)
    assert below["low"] < 0.01 < below["high"] < 0.05


def test_a_size_below_one_that_is_not_enough_is_not_asked() -> None:
    sizes = {60: some(0.8), 120: some(0.5), 240: some(0.8)}
    found = table(sizes, {60: some(0.1), 120: some(0.2), 240: some(0.9)})
    assert found["enough"].to_list() == [False, False, True]


def test_more_that_hurts_is_said_with_its_p() -> None:
    sizes = {60: some(0.8), 960: some(0.6)}
    found = table(sizes, {60: some(0.9), 960: some(0.8)})
    assert answer(found, 5)["hurts"] == [960]
    assert found["p_worse"].to_list()[0] is None
    assert found["p_worse"].to_list()[1] < 1e-6


@pytest.mark.parametrize(
    ("sizes", "replicas", "said"),
    [
        ("4,5", 3, "no set of 5"),
        ("4", 3, "two sizes"),
        ("few", 3, "allowed are sizes"),
        ("all", 2, "2 replicas"),
    ],
)
def test_bad_ladders_are_one_line(
    planted: Path, tmp_path: Path, sizes: str, replicas: int, said: str
) -> None:
    rows = [
        {"size": size, "replica": replica, "path": f"replica-{replica}/{size}"}
        for size in (4, 8)
        for replica in range(replicas)
    ]
    with pytest.raises(BadInput, match=said):
        wanted_sets(pl.DataFrame(rows), spec(planted, tmp_path, tmp_path / "o", ladder=sizes))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep_best": True}, "add --watch"),
        ({"watch": 2, "keep_best": True, "lose_at_most": 1.0}, "--probe"),
        ({"learning_rates": (1e-3, 1e-3)}, "each once"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    planted: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        spec(planted, tmp_path, tmp_path / "o", **options)
