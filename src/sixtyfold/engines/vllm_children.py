"""Ends the processes vLLM has started when the one that started them is gone.

Killed by SIGKILL, a process cannot end its children, and vLLM's (0.32) go on without it, holding
the cores and the memory that the same command, given again, needs. vLLM calls plugins in each of
its processes; this is one (`vllm.general_plugins` in pyproject.toml). It does nothing in a vLLM
that sixtyfold has not started. An engine process that has not come to its plugins yet waits for its
parent's greeting, without a model, and gives up by itself after five minutes.
"""

from __future__ import annotations

import multiprocessing
import os
import threading

#: Set in the environment of a vLLM that sixtyfold starts.
STARTED_BY_SIXTYFOLD = "SIXTYFOLD_STARTED_VLLM"


def end_with_parent() -> None:
    """Watch the parent from a thread; without effect in a process that has none to watch."""
    parent = multiprocessing.parent_process()
    if parent is None or STARTED_BY_SIXTYFOLD not in os.environ:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
