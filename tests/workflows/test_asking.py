from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.stage import finished
from sixtyfold.workflows.asking import plan, run
from sixtyfold.workflows.asking_spec import AskingSpec


def spec(planted: Path, out: Path, **more: Any) -> AskingSpec:
    options = {"model": str(planted), "facts": str(planted), "out": out, "dtype": "float32"}
    return AskingSpec.parse({**options, **more})


@pytest.fixture(scope="module")
def asked(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(spec(planted, tmp_path_factory.mktemp("ways") / "out", ways=True, limit=20))


def test_every_way_is_a_stage_of_its_own(asked: Any) -> None:
    shots = {
        name: finished(asked.path / "answers" / f"{name}-dev", "evaluate").manifest["spec"]["shots"]
        for name in ("base", "base-fewshot")
    }
    assert shots == {"base": 0, "base-fewshot": 4}


def test_the_best_is_the_best_on_dev(asked: Any) -> None:
    dev = asked.table("ways").filter((pl.col("split") == "dev") & (pl.col("domain") == "in"))
    best = dev.filter(pl.col("value") == dev["value"].max())["way"].to_list()
    assert asked.json("chosen")["best_on_dev"] == best[0]


def test_what_to_compare_with_is_named(asked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from sixtyfold.console import show_answers

    show_answers(asked, asked.manifest["spec"], silent=False)
    best = asked.json("chosen")["best_on_dev"]
    place = asked.path / "answers" / f"{best}-test"
    assert f"best on dev: {best}; what to compare a tuned model with: {place}\n" in (
        capsys.readouterr().out
    )
    assert (place / "manifest.json").is_file()


def test_one_way_is_the_stage(planted: Path, tmp_path: Path) -> None:
    done = run(spec(planted, tmp_path / "o", limit=4))
    assert done.manifest["stage"] == "evaluate"
    assert done.table("answers").height == 4


def test_plan_names_every_way(planted: Path, tmp_path: Path) -> None:
    told = plan(spec(planted, tmp_path / "o", ways=True, limit=5))
    assert set(told["questions"]) == {
        "base dev", "base test", "base-fewshot dev", "base-fewshot test"
    }  # fmt: skip


def test_shots_are_not_for_all_ways(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="leave --shots out"):
        spec(planted, tmp_path, ways=True, shots=2)
