"""What a store at a URL writes down beside results: events, and why jobs failed.

log/TIME_EVENT_STAGE_KEY_PROCESS_ID   one empty file per event, told by its name
failures/KEY.json, KEY.txt            why a job failed last, and the traceback
studies/NAME/study.json               which file describes a study, and what it says
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from typing import Any

from sixtyfold.study.jobs import Job
from sixtyfold.study.records import Failure
from sixtyfold.study.remote_files import RemoteFiles


class RemoteNotes:
    """Events and failures below a URL."""

    def __init__(self, files: RemoteFiles) -> None:
        self.files = files

    def log(self, event: str, job: Job) -> None:
        """Write down what happened."""
        what = f"{event.replace(' ', '-')}_{job.stage}_{job.key}"
        process = f"{socket.gethostname()}-{os.getpid()}".replace("_", "-")
        self.files.write(f"log/{time.time():017.3f}_{what}_{process}_{uuid.uuid4().hex[:8]}", b"")

    def events(self) -> list[dict[str, object]]:
        """Return what was written down, oldest first."""
        found: list[dict[str, object]] = []
        for name in sorted(self.files.sizes("log")):
            when, event, stage, key, process, _ = name.removeprefix("log/").split("_")
            said = {"time": float(when), "event": event.replace("-", " "), "stage": stage}
            found.append({**said, "key": key, "process": process})
        return found

    def write_failure(self, failure: Failure, details: str) -> str:
        """Write down why a job failed; return where."""
        self.files.write(f"failures/{failure.key}.json", json.dumps(failure._asdict()).encode())
        self.files.write(f"failures/{failure.key}.txt", details.encode())
        return f"{self.files.url}/failures/{failure.key}.txt"

    def forget_failure(self, key: str) -> None:
        """Remove what was written down of a job."""
        self.files.remove([f"failures/{key}.json", f"failures/{key}.txt"])

    def write_definition(self, study: str, definition: dict[str, Any]) -> None:
        """Write down which file describes a study, and what it says."""
        self.files.write(f"studies/{study}/study.json", json.dumps(definition).encode())

    def definitions(self) -> dict[str, dict[str, Any]]:
        """Return what `write_definition` wrote, by study."""
        found = {}
        names = [each for each in self.files.sizes("studies") if each.endswith("/study.json")]
        for name, contents in self.files.read_many(names).items():
            with contextlib.suppress(ValueError, TypeError):
                found[name.split("/")[1]] = dict(json.loads(contents))
        return found

    def failures(self) -> list[Failure]:
        """Return the failures that were not forgotten."""
        found = []
        names = [name for name in sorted(self.files.sizes("failures")) if name.endswith(".json")]
        for contents in self.files.read_many(names).values():
            with contextlib.suppress(ValueError, TypeError):
                found.append(Failure(**json.loads(contents)))
        return found
