from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sixtyfold.sources import atlas, built_atlas


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIXTYFOLD_CACHE", str(tmp_path))
    return tmp_path


def test_what_is_kept_is_what_was_built(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = built_atlas.built_atlas()
    assert list((cache / "atlas").rglob("facts.parquet"))
    monkeypatch.setattr(atlas, "build_atlas", lambda: pytest.fail("built again"))
    for kept, table in zip(built_atlas.built_atlas(), built, strict=True):
        assert_frame_equal(kept, table)
        assert kept.schema == table.schema


def test_another_version_is_built_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, templates = pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [2]})
    monkeypatch.setattr(atlas, "build_atlas", lambda: (facts, templates))
    built_atlas.built_atlas()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99")
    monkeypatch.setattr(atlas, "build_atlas", lambda: (facts.head(0), templates))
    assert built_atlas.built_atlas()[0].is_empty()
    assert len(list((cache / "atlas").iterdir())) == 2


def test_a_cache_that_cannot_be_written_costs_time_alone(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, templates = pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [2]})
    monkeypatch.setattr(atlas, "build_atlas", lambda: (facts, templates))
    (cache / "atlas").write_text("a file")
    assert_frame_equal(built_atlas.built_atlas()[0], facts)
