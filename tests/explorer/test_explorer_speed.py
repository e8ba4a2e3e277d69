"""A store of 100,000 test facts opens and filters within two seconds."""

from __future__ import annotations

import importlib.util
import statistics
from pathlib import Path

import pytest
from made_up_store import RUNS, build_store

_PATH = Path(__file__).parents[2] / "benchmarks" / "explorer_speed.py"
_SECONDS = 2.0


@pytest.mark.long
def test_a_large_store_opens_and_filters_at_once(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("explorer_speed", _PATH)
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    runs = (RUNS[0], *(benchmark.made_run(number) for number in range(4)))
    store = build_store(tmp_path / "store", 33_334, runs=runs)
    taken = benchmark.measured(store.root, rounds=5)
    slow = {
        name: statistics.median(taken[name])
        for name in ("open", "filter", "text", "turn", "sort", "fact")
        if statistics.median(taken[name]) > _SECONDS
    }
    assert slow == {}
