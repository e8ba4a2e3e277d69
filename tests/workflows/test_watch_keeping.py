"""What a watch keeps: which step the rule takes, and what is on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from sixtyfold.core.errors import BadInput
from sixtyfold.workflows.watch_figures import figures, sample
from sixtyfold.workflows.watch_files import WatchFiles
from sixtyfold.workflows.watch_rule import Judged, choose
from sixtyfold.workflows.watch_spec import WatchSpec

MODEL = torch.nn.Linear(3, 2)


def test_a_step_that_lost_too_much_is_not_chosen() -> None:
    steps = [Judged(0, 0.1, 0.5), Judged(1, 0.5, 0.9), Judged(2, 0.6, 0.85), Judged(3, 0.7, 0.7)]
    assert choose(steps, 10).step == 2
    assert choose(steps, 1).step == 1
    assert choose(steps, None).step == 3


def test_a_kept_step_that_is_no_longer_allowed_is_replaced() -> None:
    assert choose([Judged(0, 0.5, 0.2), Judged(1, 0.4, 0.9)], 5).step == 1


def test_weights_that_cannot_be_kept_leave_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    files = WatchFiles(tmp_path / "watch")
    files.begin(0)
    files.keep(Judged(2, 0.5, None), MODEL)

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        Path(path).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        files.keep(Judged(4, 0.9, None), MODEL)
    assert files.kept() == Judged(2, 0.5, None)
    assert [path.name for path in (tmp_path / "watch").iterdir()] == ["best.safetensors"]


def test_a_new_training_forgets_what_was_seen_before(tmp_path: Path) -> None:
    files = WatchFiles(tmp_path)
    files.keep(Judged(2, 0.5, None), MODEL)
    files.write_step(2, figures(2, answers(), None), answers())
    assert files.begin(4)["step"].unique().to_list() == [2]
    assert files.kept() == Judged(2, 0.5, None)
    assert files.begin(0).is_empty()
    assert not list(tmp_path.glob("*.*"))


def answers() -> pl.DataFrame:
    row = {"relation": "a", "domain": "in", "level": 4, "hit": True, "exact": True, "ended": True}
    return pl.DataFrame([row])


def test_a_rule_about_level_4_needs_facts_of_level_4(
    planted: Path, probed: Path, tmp_path: Path
) -> None:
    from sixtyfold.core.stage import finished

    facts = pl.read_parquet(planted / "facts.parquet")
    probe = finished(probed).table("probe").with_columns(level=pl.lit(1, dtype=pl.Int8))
    options = {"facts": str(planted), "probe": probed, "keep_best": True, "out": tmp_path}
    given = WatchSpec.parse({**options, "lose_at_most": 2.0})
    with pytest.raises(BadInput, match="found none in split dev; leave it out"):
        sample(facts, probe, given)
