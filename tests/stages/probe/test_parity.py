"""Parity: levels that differ are tested against dealing the same hits out again."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file, save_file

from engines.fake_vllm import FakeVllm, vllm
from engines.faulty_server import running
from sixtyfold.console import show_probe
from sixtyfold.core.errors import BadInput, OtherResult
from sixtyfold.core.models import model_fingerprint
from sixtyfold.core.stage import finished
from sixtyfold.engines.vllm_engine import VllmFailed
from sixtyfold.sources.open import open_facts
from sixtyfold.stages.probe import drawing
from sixtyfold.stages.probe.parity import chance, parity_specs, parity_table
from sixtyfold.stages.probe.run import plan, run
from sixtyfold.stages.probe.spec import ProbeSpec

__all__ = ["vllm"]

FACTS, K, DRAWS = 80, 7, 10


def prompts(rates: np.ndarray, seed: int) -> pl.DataFrame:
    hits = np.random.default_rng(seed).binomial(DRAWS, rates)
    return pl.DataFrame(
        {
            "fact_id": np.repeat([f"{index:03}" for index in range(FACTS)], K),
            "draws": np.full(FACTS * K, DRAWS),
            "hits": hits.ravel(),
        }
    )


@pytest.fixture
def rates() -> np.ndarray:
    return np.random.default_rng(0).beta(0.5, 0.5, (FACTS, K))


def test_equal_engines_differ_by_chance_only(rates: np.ndarray) -> None:
    p_values = [
        chance(prompts(rates, 2 * n), prompts(rates, 2 * n + 1), 0, 200).p_value for n in range(40)
    ]
    assert np.mean(np.array(p_values) < 0.1) < 0.25
    assert 0.3 < np.mean(p_values) < 0.75


def test_another_model_is_noticed(rates: np.ndarray) -> None:
    found = chance(prompts(rates, 1), prompts(np.clip(rates + 0.15, 0, 1), 2), 0, 500)
    assert found.differ > found.high
    assert found.p_value < 0.01


def test_table_counts_levels_by_share_of_hits() -> None:
    one = pl.DataFrame({"fact_id": ["a", "a", "b"], "draws": [4, 4, 4], "hits": [1, 1, 0]})
    two = pl.DataFrame({"fact_id": ["a", "a", "b"], "draws": [4, 4, 4], "hits": [4, 3, 1]})
    table = parity_table(one, two, names=["torch", "vllm"])
    assert table["recall_torch"].to_list() == [0.25, 0.0]
    assert table["level_torch"].to_list() == [1, 0]
    assert table["level_vllm"].to_list() == [4, 1]


@pytest.mark.parametrize("given", ["torch", "torch,torch", "torch,jax", "torch,vllm,server"])
def test_unknown_engines_are_refused(given: str) -> None:
    with pytest.raises(BadInput, match="--parity was given"):
        parity_specs(ProbeSpec(out=Path("p"), parity=given))


def test_a_server_needs_its_address() -> None:
    with pytest.raises(BadInput, match="add --server URL"):
        parity_specs(ProbeSpec(out=Path("p"), parity="torch,server"))


def test_both_sides_draw_plainly() -> None:
    spec = ProbeSpec(out=Path("p"), parity="torch,server", server="http://127.0.0.1:1/v1")
    one, two = parity_specs(spec)
    assert (one.drawn_by, two.drawn_by) == ("torch", "server")
    assert {one.estimator, two.estimator} == {"draws"}
    assert one.draws_per_template == 10


def asked(planted: Path, out: Path, **options: Any) -> ProbeSpec:
    settings: dict[str, Any] = {
        "model": str(planted),
        "facts": str(planted),
        "parity": "torch,vllm",
        "limit": 6,
        "templates": 2,
        "draws": 4,
        "max_new_tokens": 6,
        "dtype": "float32",
        "out": out,
    }
    return ProbeSpec.parse({**settings, **options})


def test_torch_and_vllm_stand_side_by_side(
    vllm: FakeVllm, planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = asked(planted, tmp_path / "p")
    done = run(spec)
    sides = [finished(tmp_path / "p" / name, "probe") for name in ("torch", "vllm")]
    assert [side.manifest["engine"] for side in sides] == ["torch", "vllm"]
    table = done.table("parity")
    assert table.columns == ["fact_id", "recall_torch", "recall_vllm", "level_torch", "level_vllm"]
    for side in sides:
        recall = table.select("fact_id", recall=f"recall_{side.manifest['engine']}")
        assert recall.equals(side.table("probe").select("fact_id", "recall"))
        assert side.table("probe")["draws"].to_list() == [2 * 4] * 6
    assert done.manifest["rows"] == {"parity": 6}
    assert done.manifest["engines"] == ["torch", "vllm"]
    assert done.manifest["inputs"] == {
        "model": model_fingerprint(planted),
        "facts": open_facts(str(planted)).fingerprint,
    }
    differ = (table["level_torch"] != table["level_vllm"]).sum()
    assert done.manifest["levels"]["differ"] == differ
    gap = (table["recall_torch"] - table["recall_vllm"]).mean()
    assert done.manifest["mean_recall_difference"] == pytest.approx(gap)
    show_probe(done, spec, silent=False)
    assert f"torch and vllm: {differ} of 6 levels differ; by chance" in capsys.readouterr().out


def test_a_finished_parity_draws_nothing(
    vllm: FakeVllm, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(asked(planted, tmp_path / "p"))
    vllm.asked.clear()
    monkeypatch.setattr(drawing, "sample_prompts", None)
    assert run(asked(planted, tmp_path / "p")) == done
    assert not vllm.asked
    assert len(vllm.started) == 1


def test_a_killed_parity_keeps_the_finished_side(
    vllm: FakeVllm, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vllm.start_error = RuntimeError("no memory")
    with pytest.raises(VllmFailed, match="no memory"):
        run(asked(planted, tmp_path / "p"))
    vllm.start_error = None
    monkeypatch.setattr(drawing, "sample_prompts", None)
    assert run(asked(planted, tmp_path / "p")).manifest["engines"] == ["torch", "vllm"]


def test_a_changed_model_at_the_same_place_is_refused(
    vllm: FakeVllm, planted: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(planted, model)
    run(asked(planted, tmp_path / "p", model=str(model)))
    weights = load_file(model / "model.safetensors")
    name = max(weights, key=lambda each: weights[each].numel())
    weights[name] = weights[name] * 0.5
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(OtherResult, match=r"model: .* there, .* now"):
        run(asked(planted, tmp_path / "p", model=str(model)))


def test_a_changed_fact_set_at_the_same_place_is_refused(
    vllm: FakeVllm, planted: Path, tmp_path: Path
) -> None:
    facts = tmp_path / "facts"
    shutil.copytree(planted, facts)
    run(asked(planted, tmp_path / "p", facts=str(facts)))
    table = pl.read_parquet(facts / "facts.parquet")
    table.with_columns(question=pl.col("question") + " Really?").write_parquet(
        facts / "facts.parquet"
    )
    with pytest.raises(OtherResult, match=r"facts: .* there, .* now"):
        run(asked(planted, tmp_path / "p", facts=str(facts)))


def test_a_server_is_on_record_by_its_name(planted: Path, tmp_path: Path) -> None:
    pytest.importorskip("openai")
    with running() as server:
        options = {"parity": "torch,server", "server": server.url, "served_model": "made-up"}
        done = run(asked(planted, tmp_path / "p", **options))
        with pytest.raises(OtherResult, match="other settings"):
            run(asked(planted, tmp_path / "p", **{**options, "served_model": "another"}))
    assert done.manifest["inputs"]["server"] == f"made-up at {server.url}"
    assert done.manifest["inputs"]["model"] == model_fingerprint(planted)
    assert done.table("parity").height == 6


def test_a_budget_is_bought_on_both_sides(vllm: FakeVllm, planted: Path, tmp_path: Path) -> None:
    spec = asked(planted, tmp_path / "p", draws=None, budget="40 draws")
    assert {name: each["draws"] for name, each in plan(spec).items()} == {"torch": 36, "vllm": 36}
    run(spec)
    for name in ("torch", "vllm"):
        side = finished(tmp_path / "p" / name, "probe")
        assert side.table("probe_prompts")["draws"].to_list() == [3] * 12


def test_minutes_are_refused_before_anything_is_drawn(planted: Path, tmp_path: Path) -> None:
    spec = asked(planted, tmp_path / "p", draws=None, budget="5 minutes")
    for call in (plan, run):
        with pytest.raises(BadInput, match="the speed of --engine vllm is not known before it dra"):
            call(spec)
    assert not (tmp_path / "p").exists()


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")
def test_an_engine_that_is_not_there_is_said_before_the_other_one_draws(
    planted: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="make setup-vllm"):
        run(asked(planted, tmp_path / "p"))
    assert not (tmp_path / "p").exists()


def test_classes_are_not_compared(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--parity compares levels: leave --slick out"):
        parity_specs(asked(planted, tmp_path / "p", slick=True))
