"""SIGKILL at random moments of a probe: the same command ends with the same bytes."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from file_digests import digests

KILLS = 100


@pytest.mark.long
@pytest.mark.parametrize("kept", [True, False], ids=["draws-kept", "no-cache"])
def test_a_hundred_kills_change_nothing(planted: Path, tmp_path: Path, kept: bool) -> None:
    """Fifty kills with a cache of draws, fifty without; pilot, allocation and further draws."""
    out = tmp_path / "probe"
    command = [sys.executable, "-m", "sixtyfold", "probe", "--out", str(out)]
    command += f"--model {planted} --facts {planted} --draws 2.5 --batch 24 --dtype float32".split()
    command += [] if kept else ["--fresh"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def with_cache(name: str) -> dict[str, str]:
        return {**environment, "SIXTYFOLD_CACHE": str(tmp_path / name)}

    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, env=with_cache("whole"))
    seconds = time.monotonic() - start
    expected = digests(out)
    shutil.rmtree(out)

    chance = random.Random(11)  # noqa: S311 - moments, not secrets
    kills = finished = parts_seen = 0
    while kills < KILLS // 2:
        # Whoever is killed while starting has lost nothing: aim at the part that works.
        moment = chance.uniform(0.35, 1.0) * seconds
        running = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=with_cache(f"killed-{finished}"),
        )
        try:
            _, errors = running.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()
            kills += 1
            parts_seen += (out / "parts").is_dir()
            continue
        assert running.returncode == 0, errors.decode()
        assert digests(out) == expected
        finished += 1
        shutil.rmtree(out)
    subprocess.run(command, check=True, capture_output=True, env=with_cache(f"killed-{finished}"))
    assert digests(out) == expected
    assert parts_seen > KILLS // 8  # most kills hit a probe that had something to lose
    print(f"{kills} kills, {parts_seen} with parts written, {finished + 1} times to the end")
