"""A probe whose draws come from vLLM: counted exactly, continued, and never silently weaker."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from engines.fake_vllm import FakeVllm, vllm
from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import model_fingerprint
from sixtyfold.engines.vllm_engine import VllmFailed
from sixtyfold.stages.probe.run import plan, run
from sixtyfold.stages.probe.spec import ProbeSpec

__all__ = ["vllm"]
FACTS, TEMPLATES, DRAWS = 6, 2, 5


def asked(planted: Path, out: Path, **options: Any) -> ProbeSpec:
    settings: dict[str, Any] = {
        "model": str(planted),
        "facts": str(planted),
        "engine": "vllm",
        "estimator": "draws",
        "limit": FACTS,
        "templates": TEMPLATES,
        "draws": DRAWS,
        "match": "paper",
        "batch": 4 * DRAWS,
        "out": out,
    }
    return ProbeSpec.parse({**settings, **options})


def test_every_draw_once_and_the_engine_on_record(
    vllm: FakeVllm, planted: Path, tmp_path: Path
) -> None:
    done = run(asked(planted, tmp_path / "p"))
    assert [how.n for _, how in vllm.asked] == [DRAWS] * FACTS * TEMPLATES
    seeds = {(*ids, how.seed + draw) for ids, how in vllm.asked for draw in range(DRAWS)}
    assert len(seeds) == FACTS * TEMPLATES * DRAWS
    table = done.table("probe")
    assert table["draws"].to_list() == [TEMPLATES * DRAWS] * FACTS
    assert table["engine"].unique().to_list() == ["vllm"]
    assert table["estimator"].unique().to_list() == ["draws"]
    assert (done.manifest["engine"], done.manifest["estimator"]) == ("vllm", "draws")
    assert done.manifest["inputs"]["model"] == model_fingerprint(planted)
    assert vllm.shut_down == 1


def test_recall_is_the_share_of_hits(vllm: FakeVllm, planted: Path, tmp_path: Path) -> None:
    def text(ids: list[int], seed: int) -> str:
        (how,) = [how for asked_ids, how in vllm.asked if asked_ids == ids]
        return f" {how.stop[0]}" if seed % 2 else " something else"

    vllm.text = text  # type: ignore[method-assign]
    done = run(asked(planted, tmp_path / "p", draws=4))
    assert done.table("probe")["recall"].to_list() == [0.5] * FACTS
    assert done.table("probe_prompts")["hits"].to_list() == [2] * FACTS * TEMPLATES


@pytest.mark.parametrize("match", ["standard", "strict", "loose"])
def test_only_where_containment_decides_an_answer_ends_a_draw(
    vllm: FakeVllm, planted: Path, tmp_path: Path, match: str
) -> None:
    run(asked(planted, tmp_path / "p"))
    assert all(how.stop and how.include_stop_str_in_output for _, how in vllm.asked)
    vllm.asked.clear()
    run(asked(planted, tmp_path / match, match=match))
    assert vllm.asked
    assert not any(how.stop for _, how in vllm.asked)


def test_an_engine_that_dies_half_way_loses_no_finished_chunk(
    vllm: FakeVllm, planted: Path, tmp_path: Path
) -> None:
    whole = run(asked(planted, tmp_path / "whole"))
    vllm.asked.clear()
    original = vllm.text

    def dying(ids: list[int], seed: int) -> str:
        if len(vllm.asked) > 6:
            raise RuntimeError("EngineCore encountered an issue.")
        return original(ids, seed)

    vllm.text = dying  # type: ignore[method-assign]
    with pytest.raises(VllmFailed, match="finished chunks are kept"):
        run(asked(planted, tmp_path / "p"))
    assert len(list((tmp_path / "p" / "parts").glob("probe_prompts-*"))) == 1
    vllm.text = original  # type: ignore[method-assign]
    vllm.asked.clear()
    again = run(asked(planted, tmp_path / "p", tensor_parallel=2))
    assert len(vllm.asked) == 8
    assert again.table("probe").equals(whole.table("probe"))
    assert again.table("probe_prompts").equals(whole.table("probe_prompts"))


def test_vllm_is_not_started_where_nothing_is_left_to_draw(
    vllm: FakeVllm, planted: Path, tmp_path: Path
) -> None:
    done = run(asked(planted, tmp_path / "p"))
    assert run(asked(planted, tmp_path / "p")).manifest == done.manifest
    assert plan(asked(planted, tmp_path / "q"))["draws"] == FACTS * TEMPLATES * DRAWS
    assert plan(asked(planted, tmp_path / "q"))["engine"] == "vllm"
    assert len(vllm.started) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "survival"}, "--engine vllm gives texts and no probabilities: add --est"),
        ({"server": "http://127.0.0.1:1"}, "leave --engine vllm out, or --server"),
        ({"device": "cpu"}, "leave --device and --load-in-4bit out"),
        ({"load_in_4bit": True}, "leave --device and --load-in-4bit out"),
        (
            {"draws": None, "budget": "1 minute"},
            "^--budget 1 minute: the speed of --engine vllm is not known before it draws; give",
        ),
    ],
)
def test_what_vllm_cannot_give_is_refused(
    planted: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        asked(planted, tmp_path / "p", **options)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm_nothing_is_begun(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="make setup-vllm"):
        run(asked(planted, tmp_path / "p"))
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(("budget", "draws"), [("40 draws", 3), ("1000 tokens", 2)])
def test_a_budget_is_what_is_spent(
    vllm: FakeVllm, planted: Path, tmp_path: Path, budget: str, draws: int
) -> None:
    spec = asked(planted, tmp_path / "p", draws=None, budget=budget)
    planned = plan(spec)
    assert planned["draws"] == FACTS * TEMPLATES * draws
    assert planned["draws_per_template"] == draws
    assert planned["sampled_tokens_at_most"] == FACTS * TEMPLATES * draws * 32
    done = run(spec)
    assert [how.n for _, how in vllm.asked] == [draws] * FACTS * TEMPLATES
    assert done.table("probe_prompts")["draws"].to_list() == [draws] * FACTS * TEMPLATES
    assert done.manifest["draws_per_template"] == draws
    assert run(spec) == done


def test_a_budget_that_buys_too_little_is_refused(planted: Path, tmp_path: Path) -> None:
    spec = asked(planted, tmp_path / "p", draws=None, budget="11 draws")
    for call in (plan, run):
        with pytest.raises(BadInput, match="buys 11 draws and 12 prompts need one each"):
            call(spec)
    assert not (tmp_path / "p").exists()
