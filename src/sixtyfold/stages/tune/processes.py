"""One training in several processes, as `accelerate launch` starts them.

Knows which process this is and how processes wait for each other; knows nothing of training.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

from sixtyfold.core.errors import BadInput, SixtyfoldError

Value = TypeVar("Value")


class Processes(NamedTuple):
    """Where this process stands among those that train together."""

    number: int
    rank: int
    sharded: bool
    """Whether weights are split over the processes (FSDP)."""

    @property
    def main(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def from_main(self, value: Value) -> Value:
        """Return the main process's value in every process."""
        if self.number == 1:
            return value
        from torch.distributed import broadcast_object_list

        held = [value]
        broadcast_object_list(held, src=0)
        return held[0]

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.number > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()

    def together(self, mine: bool, work: Callable[[], Value]) -> Value | None:
        """Run `work` where it is this process's, and have all end where it fails in one.

        Args:
            mine: whether this process runs it; the others wait.
            work: what is run.

        Returns:
            what it returned; None where it was not run.

        Raises:
            SixtyfoldError, OSError: raised by `work` in some process: in the main process, which
                tells it.
            SystemExit: the same, in the other processes.
        """
        if self.number == 1:
            return work() if mine else None
        from torch.distributed import all_gather_object

        value, error = None, None
        try:
            value = work() if mine else None
        except (SixtyfoldError, OSError) as raised:
            error = raised
        errors: list[SixtyfoldError | OSError | None] = [None] * self.number
        all_gather_object(errors, error)
        first = next((each for each in errors if each is not None), None)
        if first is not None:
            raise first if self.main else SystemExit(getattr(first, "exit_code", 1))
        return value

    def main_first(self, work: Callable[[], Value]) -> Value:
        """Return what `work` returns, run in the main process of each machine before the others.

        Raises:
            SixtyfoldError, OSError, SystemExit: see `together`.
        """
        if self.number > 1:
            self.together(os.environ.get("LOCAL_RANK", "0") == "0", work)
        return work()


def join_processes(device: str) -> Processes:
    """Connect the processes of a launcher; a process on its own is one of one.

    Args:
        device: where they train, as `resolve_device` returned it.

    Raises:
        BadInput: one process sees several GPUs, a GPU is named by its number, or FSDP is asked
            for without GPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    sharded = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if sharded and device == "cpu":
        raise BadInput(
            "FSDP was asked for and there is no GPU: accelerate splits weights over GPUs alone; "
            "use examples/ddp.yaml on processors"
        )
    if device.startswith("cuda:"):
        raise BadInput(
            f"--device {device} was given; tune takes the GPUs it sees: "
            f"set CUDA_VISIBLE_DEVICES={device.removeprefix('cuda:')} and give --device cuda"
        )
    if count == 1:
        _refuse_idle_gpus(device)
        return Processes(1, 0, sharded)
    from accelerate import PartialState

    PartialState(cpu=device == "cpu")
    return Processes(count, int(os.environ["RANK"]), sharded)


def _refuse_idle_gpus(device: str) -> None:
    import torch

    seen = torch.cuda.device_count() if device == "cuda" else 0
    if seen > 1:
        raise BadInput(
            f"one process was started and {seen} GPUs are there; use all with "
            f"'accelerate launch --config_file examples/ddp.yaml --num_processes {seen} "
            "-m sixtyfold tune ...' or one with CUDA_VISIBLE_DEVICES=0"
        )


def examples_at_once(batch: int, accumulate: int, processes: int) -> int:
    """Return how many examples one process runs at once.

    Args:
        batch: examples per optimiser step, over all processes.
        accumulate: parts in which each process runs its share.
        processes: number of processes.

    Raises:
        BadInput: the batch cannot be shared out evenly.
    """
    parts = accumulate * processes
    if batch % parts:
        raise BadInput(
            f"--batch {batch} cannot be shared by {processes} processes in {accumulate} parts "
            f"each; give a multiple of {parts}"
        )
    return batch // parts


@contextlib.contextmanager
def one_line_errors(processes: Processes) -> Iterator[None]:
    """Turn a lost process and a full device inside a block into errors a user can act on.

    Raises:
        SixtyfoldError: another process ended, or the device has no memory left.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise SixtyfoldError(
            "the device ran out of memory while training; nothing was saved; raise --accumulate, "
            "or use --lora-rank, --optimizer adamw-8bit or FSDP (examples/fsdp.yaml)"
        ) from None
    except (RuntimeError, torch.distributed.DistError) as error:
        if processes.number == 1 or not _is_connection(error):
            raise
        raise SixtyfoldError(
            f"process {processes.rank} lost another process of this training, so it ended; "
            "no result was written; give the same command again to continue"
        ) from None


def _is_connection(error: Exception) -> bool:
    import torch

    words = ("Connection closed", "Connection reset", "Broken pipe", "Timed out", "gloo/transport")
    return isinstance(error, torch.distributed.DistError) or any(w in str(error) for w in words)


def peers(processes: Processes) -> dict[str, Any]:
    """Return what a record says about the processes."""
    return {"processes": processes.number, "sharded": processes.sharded}
