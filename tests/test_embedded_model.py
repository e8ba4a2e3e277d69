"""The one test of the real embedded model: the main path on real facts, in a small size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sixtyfold.cli import run_command


@pytest.mark.embedded
def test_main_path_on_the_embedded_model(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = f"run --out {out} --train 60 --dev 60 --test 160 --templates 2 --size 60 --seed 0"
    assert run_command(command.split()) == 0
    summary = json.loads((out / "summary.json").read_text())
    tuned, plain = summary["tuned"]["in"], summary["base"]["in"]
    assert tuned["macro_relation"]["value"] >= 0.45
    assert tuned["macro_relation"]["low"] > summary["majority"]["in"]["value"]
    assert tuned["macro_relation"]["value"] > plain["macro_relation"]["high"]
    assert abs(tuned["exact"]["value"] - tuned["micro"]["value"]) <= 0.10
    assert tuned["ended"]["value"] >= 0.90
    training = json.loads((out / "tuned" / "training.json").read_text())
    assert (training["examples"], training["steps"]) == (60, 8)
