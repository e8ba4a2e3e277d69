"""Processes end with the one that started them, where sixtyfold started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from sixtyfold.engines.vllm_children import STARTED_BY_SIXTYFOLD, end_with_parent

# A process that starts a child and a grandchild as vLLM does, prints their numbers and waits.
TREE = """
import multiprocessing, os, sys, time
from sixtyfold.engines.vllm_children import end_with_parent

def live(depth):
    end_with_parent()
    if depth:
        multiprocessing.get_context("spawn").Process(target=live, args=(depth - 1,)).start()
    print(os.getpid(), flush=True)
    time.sleep(120)

if __name__ == "__main__":
    live(2)
"""


@pytest.mark.parametrize("ours", [True, False])
def test_a_killed_process_takes_its_children_along(tmp_path, ours):
    script = tmp_path / "tree.py"
    script.write_text(TREE)
    surroundings = {k: v for k, v in os.environ.items() if k != STARTED_BY_SIXTYFOLD}
    if ours:
        surroundings[STARTED_BY_SIXTYFOLD] = "1"
    running = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=surroundings, text=True
    )
    tree = []
    try:
        assert running.stdout is not None
        tree = [psutil.Process(int(running.stdout.readline())) for _ in range(3)]
        children = [each for each in tree if each.pid != running.pid]
        assert len(children) == 2
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        if ours:
            _, left = psutil.wait_procs(children, timeout=30)
            assert not left
        else:
            time.sleep(0.5)
            assert all(each.is_running() for each in children)
    finally:
        for each in tree:
            if each.is_running():
                each.kill()
        running.wait()
        running.stdout.close()


def test_a_process_without_a_parent_to_watch_is_left_alone(monkeypatch):
    monkeypatch.setenv(STARTED_BY_SIXTYFOLD, "1")
    end_with_parent()
