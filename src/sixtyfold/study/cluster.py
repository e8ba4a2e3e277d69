"""Jobs as tasks of a Ray cluster, of this machine or of many.

Ray places tasks, runs those of a lost worker again and holds no results: they lie in the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.study.any_store import Store
from sixtyfold.study.file import Options, StudyFile
from sixtyfold.study.jobs import Job
from sixtyfold.study.work import Outcome, work_at

_RETRIES = 5
_NAMES = {"cpus": "num_cpus", "gpus": "num_gpus", "memory": "memory"}
_DEFAULT: Options = {"cpus": 1}


class RayExecutor:
    """Submits every job at once; Ray runs as many as fit."""

    slots = 10_000

    def __init__(self, study: StudyFile, store: Store, address: str) -> None:
        """Connect to a cluster, or start one on this machine (`local`).

        Raises:
            BadInput: Ray is not installed, no cluster answers, or resources are not known.
        """
        try:
            import ray
        except ImportError:
            raise BadInput("--ray needs Ray; pip install 'sixtyfold[ray]'") from None
        self.ray = ray
        self.url = store.url
        self.options = {stage: _task_options(given) for stage, given in study.resources.items()}
        try:
            if not ray.is_initialized():
                ray.init(
                    address=None if address == "local" else address,
                    log_to_driver=False,
                    include_dashboard=False,
                )
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BadInput(f"no Ray cluster at {address} ({reason}); 'local' starts one") from None
        self.task = ray.remote(work_at)
        self.running: dict[Any, str] = {}

    def submit(self, job: Job, reads: Mapping[str, Job]) -> None:
        """Give a job to the cluster."""
        options = self.options.get(job.stage, self.options.get("all", _task_options(_DEFAULT)))
        remote = self.task.options(
            **options, max_retries=_RETRIES, retry_exceptions=False, name=f"{job.stage} {job.key}"
        )
        self.running[remote.remote(self.url, job, dict(reads))] = job.key

    def finished(self) -> Outcome:
        """Wait for any job."""
        done, _ = self.ray.wait(list(self.running), num_returns=1)
        key = self.running.pop(done[0])
        try:
            outcome: Outcome = self.ray.get(done[0])
        except self.ray.exceptions.RayError as error:
            reason = " ".join(str(error).split())[:300]
            return Outcome(key, "failed", f"its worker was lost {_RETRIES + 1} times ({reason})")
        return outcome


def _task_options(given: Options) -> Options:
    for name in given:
        if name not in _NAMES:
            raise BadInput(
                f"resources were given {name!r}{suggestion(name, _NAMES)}; "
                f"allowed: {', '.join(_NAMES)}"
            )
    return {_NAMES[name]: value for name, value in given.items()}
