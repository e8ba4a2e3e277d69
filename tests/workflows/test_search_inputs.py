"""What a search refuses, and how its model is loaded and asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.stage import Finished, finished
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.workflows import search as workflow
from sixtyfold.workflows import search_facts
from sixtyfold.workflows.search import plan, search
from sixtyfold.workflows.search_model import overwrite
from sixtyfold.workflows.search_spec import SearchSpec


def spec(planted: Path, tuned: Path, out: Path, **changed: Any) -> SearchSpec:
    options: dict[str, Any] = {
        "base": str(planted),
        "tuned": str(tuned),
        "facts": str(planted),
        "out": out,
        "families": ("relative", "interpolation"),
        "top": (20.0, 60.0),
        "halvings": 1,
        "checkpoint": False,
        "dtype": "float32",
    }
    return SearchSpec.parse({**options, **changed})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": (0.0,)}, "--top was given 0; allowed are percentages up to 100"),
        ({"top": (10.0, 10.0)}, "--top names the same thing twice"),
        ({"families": ()}, "at least one of --families"),
        ({"families": ("wise",)}, "option 'families.0' was given 'wise'"),
        ({"objective": "knowledge"}, "about facts of level 4: give --probe"),
        ({"lose_at_most": 2}, "about facts of level 4: give --probe"),
        ({"metric": "acc"}, "--metric is about a task: give --lm-eval-task too"),
        ({"include_path": Path()}, "--include-path is about a task: give --lm-eval-task too"),
        ({"lm_eval_task": "t"}, "--facts is about facts, and --lm-eval-task takes their place"),
        ({"lm_eval_task": "t", "facts": "atlas", "match": "strict"}, "--match is about facts"),
        (
            {"lm_eval_task": "t", "facts": "atlas", "prompt_form": "papers"},
            "--prompt-form papers is about facts",
        ),
        ({"load_in_4bit": True}, "packs weights, and a search overwrites them"),
    ],
)
def test_options_that_do_not_fit(
    planted: Path, tuned: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        spec(planted, tuned, tmp_path, **options)


def without(planted: Path, out: Path, split: str) -> Path:
    """The planted facts as a table without one split."""
    facts = finished(planted).table("facts").filter(pl.col("split") != split)
    out.mkdir()
    facts.write_parquet(out / "facts.parquet")
    return out / "facts.parquet"


@pytest.mark.parametrize(
    ("split", "message"),
    [("dev", "--split dev holds no in-domain fact"), ("test", "holds no test fact to report on")],
)
def test_splits_that_are_not_there(
    planted: Path, tuned: Path, tmp_path: Path, split: str, message: str
) -> None:
    table = without(planted, tmp_path / "facts", split)
    with pytest.raises(BadInput, match=message):
        search(spec(planted, tuned, tmp_path / "out", facts=str(table)))
    assert not (tmp_path / "out").exists()


def test_a_probe_that_saw_no_level_4_cannot_be_asked_about_it(
    planted: Path, tuned: Path, probed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Finished, "table", lambda self, name: pl.read_parquet(self.path / f"{name}.parquet")
        .with_columns(level=pl.lit(3, dtype=pl.Int8))
    )  # fmt: skip
    with pytest.raises(BadInput, match=r"found no dev fact of level 4.*probe with --splits dev"):
        search(spec(planted, tuned, tmp_path / "out", probe=probed, objective="knowledge"))


def test_rounds_without_a_fact_of_level_4_cannot_choose_by_it(
    planted: Path, tuned: Path, probed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One such fact stands in the middle of its stratum: after the first quarter of all."""
    dev = finished(planted).table("facts").filter(split="dev", domain="in")
    known = dev["fact_id"][0]
    original = Finished.table

    def one_known(self: Finished, name: str) -> pl.DataFrame:
        table = original(self, name)
        if name != "probe":
            return table
        level = pl.when(pl.col("fact_id") == known).then(4).otherwise(1).cast(pl.Int8)
        return table.with_columns(level=level)

    monkeypatch.setattr(Finished, "table", one_known)
    given: dict[str, Any] = {"probe": probed, "lose_at_most": 1, "test": False}
    wanted = spec(planted, tuned, tmp_path / "out", halvings=3, **given)
    for command in (search, plan):
        with pytest.raises(BadInput, match=r"first round asks .* none of level 4.*--halvings 0"):
            command(wanted)
    assert not (tmp_path / "out").exists()
    assert plan(spec(planted, tuned, tmp_path / "out", halvings=0, **given))


def test_as_many_questions_run_together_as_fit(
    planted: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert spec(planted, tuned, tmp_path / "fits").batch is None
    given: list[int | None] = []
    original = search_facts.answer_facts

    def seen(engine: Any, rows: pl.DataFrame, *options: Any) -> pl.DataFrame:
        given.append(options[-1])
        return original(engine, rows, *options)

    monkeypatch.setattr(search_facts, "answer_facts", seen)
    found = [
        search(spec(planted, tuned, tmp_path / f"batch-{batch}", batch=batch, test=False))
        for batch in (None, 3)
    ]
    assert set(given) == {None, 3}
    one, other = (each.table("answers") for each in found)
    assert one.drop("f1").equals(other.drop("f1"))


def test_a_weight_that_the_model_does_not_have_is_named(planted: Path) -> None:
    engine = TorchEngine.load(str(planted), ModelOptions(dtype="float32"))
    name, weight = next(iter(engine.model.state_dict().items()))
    for wrong in ({"no.such.weight": np.float32([1])}, {name: weight.numpy()[:1].copy()}):
        with pytest.raises(BadInput, match=r"no counterpart of shape .*'sixtyfold restore'"):
            overwrite(engine, wrong.items())


def test_revision_is_the_bases(
    planted: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models are loaded from where the pair was found: no name is looked up a second time."""
    asked: list[str] = []
    original = TorchEngine.load

    def noted(reference: str, options: ModelOptions) -> TorchEngine:
        asked.append(reference)
        return original(reference, options)

    monkeypatch.setattr(TorchEngine, "load", noted)
    found = workflow.find_pair(str(planted), str(tuned))
    monkeypatch.setattr(workflow, "find_pair", lambda *_, **__: found)
    search(spec(Path("some/base"), Path("some/tuned"), tmp_path / "out", facts=str(planted)))
    assert asked == [str(tuned), str(planted), str(tuned)]  # dev, then base and tuned on test
