"""Draws are kept by the contents of the weights, and more of them refine earlier ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file, save_file

from sixtyfold.core.matching import matcher
from sixtyfold.core.stage import Finished
from sixtyfold.stages.probe import drawing
from sixtyfold.stages.probe.draw_cache import DrawCache, prompt_key
from sixtyfold.stages.probe.paths import ClozePrompt
from sixtyfold.stages.probe.run import run
from sixtyfold.stages.probe.sampling import Estimate, sample_prompts
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.stages.probe.trie import Trie


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, range]]:
    """What was really drawn: (template, numbers) of each prompt; in a cache of its own."""
    drawn: list[tuple[int, range]] = []

    def watched(engine: Any, prompts: Any, numbers: Any, how: Any) -> list[Estimate]:
        drawn.extend((p.template_id, n) for p, n in zip(prompts, numbers, strict=True))
        return sample_prompts(engine, prompts, numbers, how)

    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(drawing, "sample_prompts", watched)
    return drawn


Probe = Callable[..., Finished]


@pytest.fixture
def probe(planted: Path, tmp_path: Path) -> Probe:
    def call(name: str, **options: Any) -> Finished:
        settings: dict[str, Any] = {
            "model": str(planted),
            "facts": str(planted),
            "limit": 6,
            "templates": 3,
            "max_new_tokens": 6,
            "dtype": "float32",
        }
        return run(ProbeSpec.parse({**settings, "out": tmp_path / name, **options}))

    return call


def files(done: Finished) -> list[bytes]:
    return [(done.path / f"{name}.parquet").read_bytes() for name in ("probe", "probe_prompts")]


def test_a_second_probe_draws_nothing(probe: Probe, made: list[tuple[int, range]]) -> None:
    first = probe("first")
    assert len(made) == 18
    made.clear()
    assert files(probe("second")) == files(first)
    assert made == []


def test_more_draws_refine_earlier_ones(probe: Probe, made: list[tuple[int, range]]) -> None:
    few = probe("few", allocation="even", draws=2).table("probe_prompts")
    made.clear()
    more = probe("more", draws=3).table("probe_prompts")
    assert {numbers for _, numbers in made} == {range(2, 3)}  # so few facts share evenly
    assert len(made) == 18
    assert [v[0] for v in few["values"]] == [v[0] for v in more["values"]]
    assert [v[1] for v in few["values"]] == [v[1] for v in more["values"]]
    assert more["draws"].to_list() == [3] * 18


def test_overwritten_weights_find_nothing(
    probe: Probe, planted: Path, tmp_path: Path, made: list[tuple[int, range]]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(planted, model)
    before = probe("before", model=str(model))
    weights = load_file(model / "model.safetensors")
    name = max(weights, key=lambda each: weights[each].numel())
    weights[name] = weights[name] * 0.5
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    made.clear()
    after = probe("after", model=str(model))
    assert len(made) == 18
    assert not np.allclose(before.table("probe")["recall"], after.table("probe")["recall"])


@pytest.mark.parametrize(
    "changed", [{"seed": 1}, {"temperature": 0.8}, {"max_new_tokens": 5}, {"match": "paper"}]
)
def test_another_protocol_finds_nothing(
    probe: Probe, made: list[tuple[int, range]], changed: dict[str, Any]
) -> None:
    probe("first")
    made.clear()
    probe("second", **changed)
    assert len(made) == 18


def test_without_cache_everything_is_drawn(
    probe: Probe, made: list[tuple[int, range]], tmp_path: Path
) -> None:
    first = probe("first", fresh=True)
    assert not (tmp_path / "cache" / "draws").exists()
    made.clear()
    second = probe("second")
    assert len(made) == 18
    assert files(first) == files(second)


def test_a_damaged_entry_is_drawn_again(
    probe: Probe, made: list[tuple[int, range]], tmp_path: Path
) -> None:
    first = probe("first")
    (entry,) = (tmp_path / "cache" / "draws").rglob("*.parquet")
    entry.write_bytes(entry.read_bytes()[:100])
    made.clear()
    assert files(probe("second")) == files(first)
    assert len(made) == 18


def test_capitals_of_an_answer_are_part_of_the_key() -> None:
    """They decide plurals: "two cats" is a hit for the noun and none for the name."""
    keys = {
        prompt_key(ClozePrompt("f", 0, [1], matcher("standard", [answer], "s"), Trie(())))
        for answer in ("cat", "Cat")
    }
    assert len(keys) == 2


def refuse(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def refuse_as_polars_does(*_: Any, **__: Any) -> None:
    raise pl.exceptions.ComputeError("underlying IO error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ((pl.DataFrame, "write_parquet"), refuse),
        ((pl.DataFrame, "write_parquet"), refuse_as_polars_does),
        ((Path, "replace"), refuse),
        ((Path, "mkdir"), refuse),
    ],
    ids=["full", "full, said by Polars", "not moved", "read-only"],
)
def test_a_cache_that_cannot_be_written_stops_no_probe(
    probe: Probe,
    tmp_path: Path,
    made: list[tuple[int, range]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    place: tuple[type, str],
    fault: Callable[..., None],
) -> None:
    whole = probe("whole", fresh=True, batch=6)
    kept = DrawCache.add

    def add(self: DrawCache, *arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(*place, fault)
            kept(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(DrawCache, "add", add)
        done = probe("first", batch=6)
    assert files(done) == files(whole)
    assert done.manifest["notes"] == whole.manifest["notes"]
    (line,) = capfd.readouterr().err.splitlines()
    assert f"sixtyfold: draws are not kept for later probes, {tmp_path / 'cache'}" in line
    assert "No space left on device" in line
    assert "set SIXTYFOLD_CACHE to another directory, or give --fresh" in line
    assert not [each for each in (tmp_path / "cache").rglob("*") if each.is_file()]
    made.clear()
    assert files(probe("second", batch=6)) == files(whole)
    assert len(made) == 18


def test_an_entry_that_cannot_be_read_is_drawn_again_and_stays(
    probe: Probe,
    made: list[tuple[int, range]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = probe("first")
    (entry,) = (tmp_path / "cache" / "draws").rglob("*.parquet")
    made.clear()
    read = pl.read_parquet

    def unreadable(path: Any, **options: Any) -> pl.DataFrame:
        if path == entry:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, **options)

    monkeypatch.setattr(pl, "read_parquet", unreadable)
    assert files(probe("second")) == files(first)
    assert len(made) == 18
    assert entry.exists()
