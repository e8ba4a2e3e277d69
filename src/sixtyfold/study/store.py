"""A store in a directory that several drivers may share, on this machine or on many.

Beside what every store holds: claims/KEY is locked while a job runs (shared by those who read its
result), and log.jsonl says what was started and recorded, and when.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.atomic_files import read_json, write_json, write_parquet
from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput
from sixtyfold.core.stage import Finished, finished
from sixtyfold.study.any_store import NUMBERS, NoStore, Store, StoredTable
from sixtyfold.study.jobs import FORMAT, Job
from sixtyfold.study.locks import is_locked, locked
from sixtyfold.study.records import (
    REMOVED,
    WEIGHTS,
    Failure,
    Record,
    check_files,
    checked_names,
    failure_of,
    read_sha256,
    record_from,
    record_of,
)


class LocalStore(Store):
    """A store in a directory (of this machine, or shared by several)."""

    def __init__(self, root: Path, *, make: bool = True) -> None:
        """Open a store.

        Args:
            root: its directory.
            make: make it where it is not there.

        Raises:
            BadInput: the directory cannot be written, holds something else, or a store of another
                format; or there is none and none is to be made.
        """
        self.root = root.absolute()  # a worker elsewhere may stand in another directory
        self.url = str(self.root)
        if not make and not (root / "format.json").is_file():
            raise NoStore(f"there is no store in {root}; 'sixtyfold study run' makes one")
        try:
            root.mkdir(parents=True, exist_ok=True)
            _check_format(root)
            for name in ("results", "records", "claims", "studies"):
                (root / name).mkdir(exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"cannot write to the store {root} ({error.strerror}); choose another"
            ) from None
        self._checked: set[str] = set()

    def recorded(self) -> set[str]:
        """Return the keys of all finished jobs."""
        return {path.stem for path in (self.root / "records").glob("*.json")}

    def record(self, key: str) -> Record:
        """Read a record.

        Raises:
            IncompleteInput: the job is not finished.
            Corrupted: the record is not readable or of another format.
        """
        path = self._record(key)
        return record_from(read_json(path), str(path))

    def is_recorded(self, key: str) -> bool:
        """Whether a job is finished (its weights may have been removed since)."""
        return self._record(key).is_file()

    def has_weights(self, job: Job) -> bool:
        """Whether the checkpoint of a recorded job is still there."""
        return (self.place(job) / "manifest.json").is_file()

    def place(self, job: Job) -> Path:
        """Return the directory in which a job's stage writes."""
        return self.root / "results" / job.stage / job.key

    def open(self, job: Job) -> Finished:
        """Return the result of a recorded job, its files compared with the record.

        Raises:
            IncompleteInput: the job is not finished, or its weights were removed.
            Corrupted: a file is not what was written; the message names it.
        """
        if job.key not in self._checked:
            check_files(self.record(job.key), self.place(job), weights=self.has_files(job))
            self._checked.add(job.key)
        return finished(self.place(job))

    def begin(self, job: Job) -> None:
        """Note that a job was started; what a killed run of it left is continued."""
        self.log("started", job)

    def save(self, job: Job, result: Finished, numbers: pl.DataFrame, seconds: float) -> None:
        """Record a finished job: its numbers, then the record."""
        write_parquet(self.place(job) / f"{NUMBERS}.parquet", numbers)
        record = record_of(job, result, seconds)
        write_json(self._record(job.key), record.as_json())
        for suffix in (".json", ".txt"):
            self._failure(job.key).with_suffix(suffix).unlink(missing_ok=True)
        self.log("recorded", job)

    def check(self, job: Job) -> None:
        """Compare the sizes of a recorded result's files with its record.

        Raises:
            Corrupted: a file is missing or of another size, or the record is not readable.
        """
        check_files(
            self.record(job.key), self.place(job), weights=self.has_files(job), hashes=False
        )

    def forget(self, job: Job) -> None:
        """Remove a result that is not what it was, its record first."""
        self._checked.discard(job.key)
        self._record(job.key).unlink(missing_ok=True)
        shutil.rmtree(self.place(job), ignore_errors=True)

    def verify(self, job: Job) -> None:
        """Read every file of a recorded result and compare its hash with the record."""
        record, folder = self.record(job.key), self.place(job)
        check_files(record, folder, weights=self.has_files(job), hashes=False)
        for name in checked_names(record, weights=self.has_files(job)):
            if read_sha256(folder / name) != record.files[name].sha256:
                raise Corrupted(f"{folder / name} does not hold what was written")

    def weight_bytes(self, job: Job) -> int:
        """Return the bytes of a checkpoint's weights that are there."""
        return sum(path.stat().st_size for path in _weights(self.place(job)))

    def drop_weights(self, job: Job) -> bool:
        """Remove the weights of a checkpoint; False where somebody reads them.

        The manifest goes first, so that nothing takes what is left for a checkpoint.
        """
        with self.claim(job, ()) as ours:
            if not ours:
                return False
            folder = self.place(job)
            manifest = folder / "manifest.json"
            if manifest.is_file():
                manifest.rename(folder / REMOVED)
            for path in _weights(folder):
                path.unlink()
        self.log("weights removed", job)
        return True

    @contextlib.contextmanager
    def claim(self, job: Job, reads: Iterable[Job]) -> Iterator[bool]:
        """Hold the right to run a job, and its inputs against removal."""
        with locked(self.root / "claims", job.key, [each.key for each in reads]) as ours:
            yield ours

    def log(self, event: str, job: Job) -> None:
        """Write down what happened."""
        line = {"time": round(time.time(), 3), "event": event, "stage": job.stage, "key": job.key}
        with (self.root / "log.jsonl").open("a") as handle:
            handle.write(json.dumps({**line, "process": os.getpid()}) + "\n")

    def events(self) -> list[dict[str, object]]:
        """Return what was written down, oldest first; half a line of a killed process is none."""
        path = self.root / "log.jsonl"
        found = []
        for line in path.read_text(errors="replace").splitlines() if path.is_file() else []:
            with contextlib.suppress(ValueError):
                found.append(dict(json.loads(line)))
        return found

    def write_failure(self, job: Job, reason: str, details: str) -> str:
        """Write down why a job failed; return where."""
        path = self._failure(job.key)
        path.parent.mkdir(exist_ok=True)
        write_json(path, failure_of(job, reason)._asdict())
        path.with_suffix(".txt").write_text(details, encoding="utf-8")
        return str(path.with_suffix(".txt"))

    def failures(self) -> list[Failure]:
        """Return the last failure of every job that failed and was not recorded since."""
        found = []
        for path in sorted((self.root / "failures").glob("*.json")):
            with contextlib.suppress(Corrupted, IncompleteInput, TypeError):
                found.append(Failure(**read_json(path)))
        return found

    def running(self, jobs: Iterable[Job]) -> set[str]:
        """Return the keys of those jobs whose claim a process holds alone."""
        return {job.key for job in jobs if is_locked(self.root / "claims", job.key)}

    def write_cells(self, study: str, cells: pl.DataFrame) -> None:
        """Write the cells of a study."""
        folder = self.root / "studies" / study
        folder.mkdir(exist_ok=True)
        write_parquet(folder / "cells.parquet", cells)

    def write_definition(self, study: str, definition: dict[str, Any]) -> None:
        """Write down which file describes a study, and what it says."""
        folder = self.root / "studies" / study
        folder.mkdir(exist_ok=True)
        write_json(folder / "study.json", definition)

    def definitions(self) -> dict[str, dict[str, Any]]:
        """Return what `write_definition` wrote, by study."""
        found = {}
        for path in (self.root / "studies").glob("*/study.json"):
            with contextlib.suppress(Corrupted, IncompleteInput, ValueError, TypeError):
                found[path.parent.name] = dict(read_json(path))
        return found

    def cells_files(self) -> list[Path]:
        """Return the files of the cells of all studies."""
        return sorted((self.root / "studies").glob("*/cells.parquet"))

    def result_bytes(self) -> dict[tuple[str, str], int]:
        """Return stage and key of everything that lies there, recorded or not, and its bytes."""
        return {
            (folder.parent.name, folder.name): sum(
                path.stat().st_size for path in folder.rglob("*") if path.is_file()
            )
            for folder in sorted((self.root / "results").glob("*/*"))
        }

    def tables(self) -> list[StoredTable]:
        """Return every table of all recorded results."""
        recorded = self.recorded()
        return [
            StoredTable(file.name.removesuffix(".parquet"), stage.name, folder.name)
            for stage in os.scandir(self.root / "results")
            for folder in os.scandir(stage.path)
            if folder.name in recorded
            for file in os.scandir(folder.path)
            if file.name.endswith(".parquet") and not file.name.startswith(".")
        ]

    def table_files(self, tables: Sequence[StoredTable]) -> list[Path]:
        """Return where tables lie."""
        results = self.root / "results"
        return [results / each.stage / each.key / f"{each.name}.parquet" for each in tables]

    def _record(self, key: str) -> Path:
        return self.root / "records" / f"{key}.json"

    def _failure(self, key: str) -> Path:
        return self.root / "failures" / f"{key}.json"


def _weights(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(WEIGHTS)]


def _check_format(root: Path) -> None:
    path = root / "format.json"
    if not path.is_file():
        others = [each.name for each in root.iterdir() if not each.name.startswith(".")]
        if others and not path.is_file():  # else another process made the store meanwhile
            raise BadInput(f"{root} holds files that are no store ({others[0]}); choose another")
        if not others:
            write_json(path, {"format": FORMAT})
    try:
        found = read_json(path)["format"]
    except (Corrupted, IncompleteInput, KeyError, TypeError):
        found = "unknown"
    if found != FORMAT:
        raise BadInput(
            f"{root} is a store of format {found}, this version writes {FORMAT}; choose another"
        )
