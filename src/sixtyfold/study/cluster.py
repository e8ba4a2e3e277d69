"""Jobs as tasks of a Ray cluster, of this machine or of many.

Ray places tasks, runs those of a lost worker again and holds no results: they lie in the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sixtyfold.core.errors import BadInput, SixtyfoldError
from sixtyfold.study.any_store import Store
from sixtyfold.study.drive import Tell
from sixtyfold.study.file import Resources, StudyFile
from sixtyfold.study.jobs import Job
from sixtyfold.study.work import Outcome, work_at

_RETRIES = 5


class RayExecutor:
    """Submits every job at once; Ray runs as many as fit."""

    slots = 10_000

    def __init__(self, study: StudyFile, store: Store, address: str) -> None:
        """Connect to a cluster, or start one on this machine (`local`).

        Raises:
            BadInput: Ray is not installed, or no cluster answers.
        """
        try:
            import ray
        except ImportError:
            raise BadInput("--ray needs Ray; pip install 'sixtyfold[ray]'") from None
        self.ray = ray
        self.url = store.url
        self.resources = study.resources
        try:
            if not ray.is_initialized():
                ray.init(
                    address=address,
                    log_to_driver=False,
                    include_dashboard=False,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BadInput(f"no Ray cluster at {address} ({reason}); 'local' starts one") from None
        self.task = ray.remote(work_at)
        self.running: dict[Any, str] = {}

    def refuse_too_large(self, stages: Iterable[str], tell: Tell, *, grows: bool) -> None:
        """Refuse jobs for which no node has room, which would wait for ever.

        Args:
            stages: of the jobs that will be given.
            tell: is told what waits for a node, where the cluster grows.
            grows: whether the cluster adds nodes when jobs need them.

        Raises:
            BadInput: a stage asks for more than any node has; says what both are.
        """
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        for stage in sorted(stages):
            needed = self._needed(stage)
            if any(_fits(needed, node) for node in nodes):
                continue
            there = "; ".join(sorted({_words(_room(node)) for node in nodes}))
            said = f"{stage} asks for {_words(needed)}, and no node has that (nodes: {there})"
            if not grows:
                raise BadInput(
                    f"{said}; change 'resources' in the study file, add a node, or give "
                    "--ray-grows where the cluster adds nodes by itself"
                )
            tell(f"{said}; its jobs wait for one")

    def submit(self, job: Job, reads: Mapping[str, Job], *, again: bool) -> None:
        """Give a job to the cluster."""
        needed = self._needed(job.stage)
        remote = self.task.options(
            num_cpus=needed.cpus,
            num_gpus=needed.gpus,
            memory=needed.memory,
            max_retries=_RETRIES,
            retry_exceptions=False,
            name=f"{job.stage} {job.key}",
        )
        self.running[remote.remote(self.url, job, dict(reads), again=again)] = job.key

    def _needed(self, stage: str) -> Resources:
        return self.resources.get(stage, self.resources.get("all", Resources()))

    def finished(self) -> Outcome:
        """Wait for any job."""
        done, _ = self.ray.wait(list(self.running), num_returns=1)
        key = self.running.pop(done[0])
        try:
            outcome: Outcome = self.ray.get(done[0])
        except self.ray.exceptions.RayTaskError as error:  # not of the stage: `work` tells those
            return Outcome(key, "failed", _reason(error.cause))
        except self.ray.exceptions.RayError as error:
            reason = _reason(error)
            return Outcome(key, "failed", f"its worker was lost {_RETRIES + 1} times ({reason})")
        return outcome


def _room(node: Mapping[str, float]) -> Resources:
    """Return what all of a node can give."""
    memory = int(node.get("memory", 0)) or None
    return Resources(cpus=node.get("CPU", 0), gpus=node.get("GPU", 0), memory=memory)


def _fits(needed: Resources, node: Mapping[str, float]) -> bool:
    room = _room(node)
    enough = needed.cpus <= room.cpus and needed.gpus <= room.gpus
    return enough and (needed.memory or 0) <= (room.memory or 0)


def _words(resources: Resources) -> str:
    """Return resources in words.

    >>> _words(Resources(cpus=2, gpus=0.5, memory=3_000_000_000))
    '2 CPUs, 0.5 GPUs, 3.0 GB'
    """
    memory = f", {resources.memory / 1e9:.1f} GB" if resources.memory else ""
    return f"{resources.cpus:g} CPUs, {resources.gpus:g} GPUs{memory}"


def _reason(error: BaseException) -> str:
    words = " ".join(str(error).split())[:300]
    return words if isinstance(error, SixtyfoldError) else f"{type(error).__name__}: {words}"
