"""The vLLM engine against a made-up vLLM: seeds, settings, errors, nothing left behind."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines.fake_vllm import FakeVllm, vllm
from sixtyfold.core.errors import BadInput
from sixtyfold.core.models import load_tokenizer
from sixtyfold.engines import vllm_engine
from sixtyfold.engines.text_draws import DrawSettings
from sixtyfold.engines.vllm_engine import VllmEngine, VllmFailed
from sixtyfold.engines.vllm_options import VllmOptions

__all__ = ["vllm"]
PROMPTS = ["The capital of u is", "The capital of v is"]
SETTINGS = DrawSettings(8, 0.7, lambda prompt, draw: 1000 * prompt + draw)


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let logs be written where they can be looked for."""
    folder = tmp_path / "logs"
    folder.mkdir()
    monkeypatch.setattr(vllm_engine.tempfile, "tempdir", str(folder))
    for name in vllm_engine._ENVIRONMENT:
        monkeypatch.setenv(name, "kept")
    return folder


@pytest.fixture
def engine(vllm: FakeVllm, planted: Path) -> Iterator[VllmEngine]:
    with VllmEngine.start(planted, VllmOptions()) as started:
        yield started


def ids_of(planted: Path, text: str) -> list[int]:
    return list(load_tokenizer(planted)(text)["input_ids"])


def test_every_draw_has_its_own_seed(engine: VllmEngine, vllm: FakeVllm, planted: Path) -> None:
    texts = engine.draw(PROMPTS, 5, SETTINGS)
    assert texts == [
        [vllm.text(ids_of(planted, text), 1000 * number + draw) for draw in range(5)]
        for number, text in enumerate(PROMPTS)
    ]
    assert sorted((how.seed, how.n) for _, how in vllm.asked) == [(0, 5), (1000, 5)]


def test_seeds_that_do_not_count_upwards_are_asked_for_one_by_one(
    engine: VllmEngine, vllm: FakeVllm, planted: Path
) -> None:
    seeds = [[7, 3, 4, 4_000]]
    texts = engine.draw(PROMPTS[:1], 4, DrawSettings(8, 0.7, seeds))
    assert texts == [[vllm.text(ids_of(planted, PROMPTS[0]), seed) for seed in seeds[0]]]
    assert sorted((how.seed, how.n) for _, how in vllm.asked) == [(3, 2), (7, 1), (4_000, 1)]


def test_the_whole_distribution_is_asked_for(engine: VllmEngine, vllm: FakeVllm) -> None:
    engine.draw(PROMPTS[:1], 2, SETTINGS)
    how = vllm.asked[0][1]
    assert (how.temperature, how.max_tokens) == (0.7, 8)
    assert (how.top_p, how.top_k, how.min_p) == (1.0, 0, 0.0)
    assert (how.stop, how.include_stop_str_in_output) == ([], False)


@pytest.mark.parametrize(
    ("stop", "settled", "sent"),
    [
        ((), [("Paris",), ("Rome", "Roma")], [(["Paris"], True), (["Rome", "Roma"], True)]),
        (("\n",), [("Paris",), ("Rome",)], [(["\n"], False)] * 2),
        (("\n",), (), [(["\n"], False)] * 2),
    ],
)
def test_what_settles_a_draw_stays_part_of_it(
    engine: VllmEngine, vllm: FakeVllm, stop: Any, settled: Any, sent: Any
) -> None:
    engine.draw(PROMPTS, 2, SETTINGS._replace(stop=stop, settled=settled))
    by_seed = sorted(vllm.asked, key=lambda each: each[1].seed)
    assert [(how.stop, how.include_stop_str_in_output) for _, how in by_seed] == sent


def test_draws_are_told_as_they_finish(engine: VllmEngine) -> None:
    told: dict[int, list[str]] = {}
    texts = engine.draw(PROMPTS * 10, 2, SETTINGS, told.__setitem__)
    assert [told[index] for index in range(20)] == texts


def test_draws_in_a_running_event_loop(engine: VllmEngine) -> None:
    async def notebook() -> list[list[str]]:
        return engine.draw(PROMPTS, 2, SETTINGS)

    assert asyncio.run(notebook()) == engine.draw(PROMPTS, 2, SETTINGS)


@pytest.mark.parametrize(
    ("draws", "settings", "message"),
    [
        (0, SETTINGS, "allowed: at least 1 draw"),
        (1, SETTINGS._replace(temperature=0.0), "a temperature above 0"),
        (2, SETTINGS._replace(seeds=[[1, 1]]), "every draw of a text needs its own seed"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    engine: VllmEngine, vllm: FakeVllm, draws: int, settings: DrawSettings, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        engine.draw(PROMPTS[:1], draws, settings)
    assert not vllm.asked


def test_options_reach_vllm(vllm: FakeVllm, planted: Path) -> None:
    options = VllmOptions(tensor_parallel=2, data_parallel=4, gpu_memory_utilization=0.5)
    with VllmEngine.start(planted, options, "float32", trust_remote_code=True):
        pass
    started = vllm.started[0]
    assert started["model"] == str(planted)
    assert started["dtype"] == "float32"
    assert (started["tensor_parallel_size"], started["data_parallel_size"]) == (2, 4)
    assert started["gpu_memory_utilization"] == 0.5
    assert started["enable_prefix_caching"]
    assert started["trust_remote_code"]
    assert "kv_cache_memory_bytes" not in started


def test_nothing_is_written_or_left_behind(
    vllm: FakeVllm, planted: Path, logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with VllmEngine.start(planted, VllmOptions()) as started:
        kept = list(logs.iterdir())
        started.draw(PROMPTS, 2, SETTINGS)
    assert len(kept) == 1
    assert not list(logs.iterdir())
    assert vllm.shut_down == 1
    assert capfd.readouterr() == ("", "")


def test_a_start_that_fails_is_one_line_and_leaves_the_log(
    vllm: FakeVllm, planted: Path, logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    vllm.start_error = RuntimeError("Engine core initialization failed.\nSee above.")
    with pytest.raises(
        VllmFailed, match=r"not start: Engine core .* See above\.; its log: "
    ) as caught:
        VllmEngine.start(planted, VllmOptions())
    assert "\n" not in str(caught.value)
    (log,) = logs.iterdir()
    assert str(log) in str(caught.value)
    assert log.read_text() == "INFO a line of vLLM's\n"
    assert capfd.readouterr() == ("", "")


def test_an_engine_that_dies_is_told(vllm: FakeVllm, planted: Path, logs: Path) -> None:
    vllm.draw_error = RuntimeError("EngineCore encountered an issue.")
    with (
        pytest.raises(VllmFailed, match=r"vLLM ended: EngineCore enc.*finished chunks are kept"),
        VllmEngine.start(planted, VllmOptions()) as started,
    ):
        started.draw(PROMPTS, 2, SETTINGS)
    assert vllm.shut_down == 1
    assert len(list(logs.iterdir())) == 1


def test_a_request_that_vllm_refuses_is_bad_input(engine: VllmEngine, vllm: FakeVllm) -> None:
    vllm.draw_error = ValueError("The decoder prompt (length 9) is longer than the maximum")
    with pytest.raises(BadInput, match="vLLM refuses the request: The decoder prompt"):
        engine.draw(PROMPTS, 2, SETTINGS)


def test_a_lost_answer_is_never_passed_over(engine: VllmEngine, vllm: FakeVllm) -> None:
    vllm.lost = {1}
    with pytest.raises(VllmFailed, match=r"gave the answers \[0, 2\] of 3"):
        engine.draw(PROMPTS, 3, SETTINGS)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vllm is installed here")
def test_without_vllm_the_way_to_it_is_told(planted: Path, logs: Path) -> None:
    with pytest.raises(BadInput, match=r"make setup-vllm.*pip install 'sixtyfold\[vllm\]'"):
        VllmEngine.start(planted, VllmOptions())
    assert not list(logs.iterdir())
