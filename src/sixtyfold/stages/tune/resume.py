"""States of a training from which it continues after a kill.

The trainer writes a state into `checkpoint-N`. When all of it is there, in every process,
`complete.json` is written into it and the state before it removed: so there is always a complete
one once there was one, and what has no such file is ignored and removed.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from sixtyfold.core.atomic_files import read_json, write_json
from sixtyfold.core.errors import OtherResult
from sixtyfold.stages.tune.processes import Processes

SECONDS_BETWEEN = 600.0
_COMPLETE = "complete.json"


class KeepStates(TrainerCallback):  # type: ignore[misc]
    """Have a state written every so many steps, or every 10 minutes."""

    def __init__(self, folder: Path, every: int | None, processes: Processes) -> None:
        """Take where the trainer writes, the steps between (None: by time; 0: never)."""
        self.folder = folder
        self.every = every
        self.processes = processes
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Ask for a state where one is due; not at the very end, where the result is written."""
        if state.global_step < state.max_steps and self._due(state.global_step):
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Declare the state written complete and remove the others."""
        self.processes.wait()
        if self.processes.main:
            written = self.folder / f"checkpoint-{state.global_step}"
            whole = {"step": state.global_step, "processes": self.processes.number}
            write_json(written / _COMPLETE, whole)
            _remove_all_but(written, self.folder)
        self.last = time.monotonic()

    def _due(self, step: int) -> bool:
        if self.every is not None:
            return self.every > 0 and step % self.every == 0
        # Clocks of processes differ; all must decide alike.
        return self.processes.from_main(time.monotonic() - self.last > SECONDS_BETWEEN)


def last_state(folder: Path, processes: Processes) -> Path | None:
    """Return the newest complete state, the same in every process; remove what is incomplete.

    Args:
        folder: where the trainer writes.
        processes: those that train together.

    Raises:
        OtherResult: the state was written by another number of processes.
    """
    found = None
    if processes.main:
        whole = [path.parent for path in folder.glob(f"checkpoint-*/{_COMPLETE}")]
        found = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
        _remove_all_but(found, folder)
    found = processes.from_main(found)
    if found is None:
        return None
    count = int(read_json(found / _COMPLETE)["processes"])
    if count != processes.number:
        raise OtherResult(
            f"{found} was written by {count} processes, now there are {processes.number}; "
            "start as many, or choose another --out"
        )
    return found


def _remove_all_but(kept: Path | None, folder: Path) -> None:
    for path in folder.glob("checkpoint-*"):
        if path != kept:
            shutil.rmtree(path)
