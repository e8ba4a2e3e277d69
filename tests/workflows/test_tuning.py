"""Learning rates, watched trainings and size ladders on the planted model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput, IncompleteInput
from sixtyfold.stages.select.run import run as select
from sixtyfold.stages.select.spec import SelectSpec
from sixtyfold.workflows.ladder import wanted_sets
from sixtyfold.workflows.several_trainings import best_rate
from sixtyfold.workflows.tuning import plan, run
from sixtyfold.workflows.tuning_spec import TuningSpec
from sixtyfold.workflows.watch import KnowledgeWatch
from sixtyfold.workflows.watch_rule import Judged


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


class KilledError(Exception):
    """Stands for a kill."""


def watched_spec(planted: Path, selection: Path, out: Path, **more: Any) -> TuningSpec:
    """Return a training of 16 steps, asked after every second, with a state after every third."""
    options = {"watch": 2, "keep_best": True, "checkpoint_every": 3, "epochs": 2, **more}
    return spec(planted, selection, out, **options)


def accuracies(monkeypatch: pytest.MonkeyPatch, best: int) -> None:
    """Have the watch see rising accuracy up to a step, and less after it."""

    def judged(table: pl.DataFrame) -> list[Judged]:
        steps = table["step"].unique().sort().to_list()
        return [Judged(step, 0.5 - abs(step - best) / 100, None) for step in steps]

    monkeypatch.setattr("sixtyfold.workflows.watch.judged", judged)


def files(folder: Path) -> dict[str, bytes]:
    """Return what a watched training leaves, times apart."""
    clock = ("timings.json", "watch.json", ".lock")
    every = [path for path in folder.rglob("*") if path.is_file() and path.name not in clock]
    return {str(path.relative_to(folder)): path.read_bytes() for path in every}


@pytest.mark.parametrize("best", [2, 8, 10], ids=["before", "last before", "after"])
def test_a_watched_training_goes_on_after_a_kill_as_if_there_was_none(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, best: int
) -> None:
    """Killed after step 10 and continued from 9; the weights kept then are those of 2, 8 or 10."""
    accuracies(monkeypatch, best)
    whole = run(watched_spec(planted, selected, tmp_path / "whole"))
    assert whole.json("training")["weights_of_step"] == best
    assert f"after step {best})" in (whole.path / "README.md").read_text()
    assert not (whole.path / "watch" / "best.safetensors").exists()
    again = watched_spec(planted, selected, tmp_path / "killed")
    killed_after_step_10(again, monkeypatch)
    assert files(run(again).path) == files(whole.path)


def killed_after_step_10(given: TuningSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    on_step_end = KnowledgeWatch.on_step_end

    def killed(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        on_step_end(self, args, state, control, **more)
        if state.global_step == 10:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(KnowledgeWatch, "on_step_end", killed)
        with pytest.raises(KilledError):
            run(given)


def test_kept_weights_are_those_that_are_named_where_a_rerun_differs(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, whose sums vary: after the kill step 10 is no longer seen as the best."""
    accuracies(monkeypatch, 10)
    whole = run(watched_spec(planted, selected, tmp_path / "whole"))
    again = watched_spec(planted, selected, tmp_path / "killed")
    killed_after_step_10(again, monkeypatch)
    accuracies(monkeypatch, -20)
    done = run(again)
    assert done.json("training")["weights_of_step"] == 10
    both = [(each.path / "model.safetensors").read_bytes() for each in (whole, done)]
    assert both[0] == both[1]


def test_the_kept_weights_outlive_a_full_disk_at_the_end(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies(monkeypatch, 2)
    whole = run(watched_spec(planted, selected, tmp_path / "whole"))
    given = watched_spec(planted, selected, tmp_path / "full")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sixtyfold.stages.tune.run.save_checkpoint", full)
        with pytest.raises(OSError, match="No space left"):
            run(given)
    assert files(run(given).path) == files(whole.path)


def test_a_watched_lora_ends_with_the_adapter_of_the_chosen_step(
    planted: Path, selected: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A constant rate is not to be had, so the step is compared by what the watch answered."""
    from sixtyfold.core.prompts import PromptOptions
    from sixtyfold.engines.torch_engine import TorchEngine
    from sixtyfold.stages.evaluate.answer import answer_facts
    from sixtyfold.workflows.tuning import watch_options
    from sixtyfold.workflows.watch_figures import read_watched

    accuracies(monkeypatch, 6)
    given = watched_spec(
        planted, selected, tmp_path / "t", lora_rank=8, learning_rate=2e-2, epochs=4
    )
    done = run(given)
    engine = TorchEngine.load(str(done.path), given)
    facts = read_watched(watch_options(given)).facts
    now = answer_facts(engine, facts, PromptOptions(), given.match, given.answer_tokens)
    told = {
        step: pl.read_parquet(done.path / "watch" / f"answers-{step:06d}.parquet")["answer"]
        for step in (6, 32)
    }
    assert now["answer"].equals(told[6])
    assert not now["answer"].equals(told[32])


def test_plan_says_how_often_is_asked(planted: Path, selected: Path, tmp_path: Path) -> None:
    told = plan(watched_spec(planted, selected, tmp_path / "o", watch=3))
    assert told["steps"] == 16
    assert told["watched_steps_at_most"] == 7  # 0, 3, 6, 9, 12, 15, 16
    assert told["watch_questions_at_most"] % 7 == 0
    assert not (tmp_path / "o").exists()


def test_plan_of_rates_is_of_all_trainings(planted: Path, selected: Path, tmp_path: Path) -> None:
    told = plan(spec(planted, selected, tmp_path / "o", learning_rates=(1e-5, 1e-3)))
    assert (told["trainings"], told["learning_rate"]) == (3, "1e-05, 0.001")


def test_a_killed_ladder_goes_on_with_the_training_in_flight(
    planted: Path, ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sixtyfold.stages.tune import train

    given = spec(planted, ladder, tmp_path / "o", ladder="4,8", checkpoint_every=1)
    advance = train._EachStep.on_step_end
    steps: list[int] = []

    def killed(self: Any, args: Any, state: Any, *rest: Any, **more: Any) -> None:
        steps.append(state.global_step)
        if steps == [1, 2, 3, 4, 1, 2, 3]:
            raise KilledError
        advance(self)

    monkeypatch.setattr(train._EachStep, "on_step_end", killed)
    with pytest.raises(KilledError):
        run(given)
    del steps[:]
    run(given)
    assert steps[0] == 3


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


@pytest.mark.parametrize("call", [run, plan])
def test_one_set_and_a_ladder_are_not_taken_for_each_other(
    call: Any, planted: Path, ladder: Path, selected: Path, tmp_path: Path
) -> None:
    words = f"add --ladder all, or give one of them: --selection {ladder / 'replica-0' / '4'}"
    with pytest.raises(IncompleteInput, match=re.escape(words)):
        call(spec(planted, ladder, tmp_path / "o"))
    with pytest.raises(IncompleteInput, match="holds one training set; 'sixtyfold select' writes"):
        call(spec(planted, selected, tmp_path / "o", ladder="all"))
    with pytest.raises(IncompleteInput, match="a directory that 'sixtyfold select' finished"):
        call(spec(planted, tmp_path, tmp_path / "o"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep_best": True}, "add --watch"),
        ({"watch": 2, "keep_best": True, "lose_at_most": 1.0}, "--probe"),
        ({"learning_rates": (1e-3, 1e-3)}, "each once"),
        ({"learning_rates": (1e-3, float("nan"))}, "positive numbers"),
        ({"ladder": "all", "watch": 2}, "leave it out of a --ladder"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    planted: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        spec(planted, tmp_path, tmp_path / "o", **options)
