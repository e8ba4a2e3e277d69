"""The driver of a study is killed at random moments: nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from sixtyfold.study.store import LocalStore
from study_driver import main

KILLS = 50
SEEDS = 4


@pytest.mark.long
@pytest.mark.parametrize("drivers", [1, 2])
def test_killed_drivers_lose_and_double_nothing(drivers: int, tmp_path: Path) -> None:
    stream = random.Random(drivers)  # noqa: S311 - moments of killing
    command = [sys.executable, "-m", "study_driver", str(tmp_path / "killed"), str(SEEDS)]
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests, "TOY_PAUSE": "0.8"}
    kills = 0
    while kills < KILLS:  # a job takes most of a second, the study some minutes
        running = [subprocess.Popen(command, env=environment) for _ in range(drivers)]
        time.sleep(stream.uniform(1.5, 5.0))
        for each in running:
            kills += each.poll() is None
            each.send_signal(signal.SIGKILL)
            each.wait()
        if (tmp_path / "killed.csv").is_file():
            pytest.fail(f"the study came to its end after {kills} kills; lengthen its jobs")
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    main(tmp_path / "whole", SEEDS)
    killed, whole = (tmp_path / f"{name}.csv" for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()
    store = LocalStore(tmp_path / "killed")
    recorded = Counter(str(e["key"]) for e in store.events() if e["event"] == "recorded")
    assert max(recorded.values()) == 1, "a job was run again after it was recorded"
    assert set(recorded) == store.recorded()
    print(f"{kills} kills, {len(recorded)} jobs")
