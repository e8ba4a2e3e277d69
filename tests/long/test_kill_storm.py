"""SIGKILL at random moments of the main path: the same command ends with the same bytes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from file_digests import digests

KILLS = 40


@pytest.mark.long
def test_forty_kills_change_nothing(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "sixtyfold", "run", "--out", str(out)]
    command += f"--model {planted} --facts {planted} --train 40 --dev 16 --test 30".split()
    command += ["--size", "16", "--templates", "2", "--learning-rate", "0.001"]
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.monotonic() - start
    expected = digests(out)
    out.rename(tmp_path / "uninterrupted")

    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    kills = 0
    finished = 0
    while kills < KILLS:
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, errors = running.communicate(timeout=chance.uniform(0.3, seconds))
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            kills += 1
            continue
        assert running.returncode == 0, errors.decode()
        assert digests(out) == expected
        finished += 1
        out.rename(tmp_path / f"finished-{finished}")
    subprocess.run(command, check=True, capture_output=True)
    assert digests(out) == expected
    assert json.loads((out / "summary.json").read_text())["tuned"] is not None
