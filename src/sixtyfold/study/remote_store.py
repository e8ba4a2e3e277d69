"""A store at an fsspec URL (s3://, gs://, memory://, ...), shared by machines that share no disk.

    results/STAGE/KEY/HASH/NAME   a file of a result under the start of its SHA-256

A job runs in a directory of this machine below the cache, so that a killed one continues there;
then its files are stored, the numbers last, then the record. What a job reads is fetched into the
same directory and compared with the record, so it is fetched once. Files of equal name and other
contents have other places: whoever stores a record says which of them count, and what two drivers
store at once is never mixed. Who runs a job: `leases`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.atomic_files import write_parquet
from sixtyfold.core.cache import cache_directory
from sixtyfold.core.errors import Corrupted, IncompleteInput
from sixtyfold.core.stage import Finished, finished
from sixtyfold.study.any_store import NUMBERS, Store, StoredTable
from sixtyfold.study.jobs import Job
from sixtyfold.study.leases import SECONDS, Leases
from sixtyfold.study.locks import is_locked, locked
from sixtyfold.study.mirror import Mirror, ResultFile, put_bytes, result_folder
from sixtyfold.study.records import WEIGHTS, Failure, Record, failure_of, record_from, record_of
from sixtyfold.study.remote_files import RemoteFiles
from sixtyfold.study.remote_format import check_format, machine_of
from sixtyfold.study.remote_notes import RemoteNotes
from sixtyfold.study.stages import MAKES_WEIGHTS

_NUMBERS = f"{NUMBERS}.parquet"


class RemoteStore(Store):
    """A store at an fsspec URL."""

    pause = 2.0

    def __init__(self, url: str, *, make: bool = True, lease_seconds: float = SECONDS) -> None:
        """Open a store.

        Args:
            url: an fsspec URL.
            make: make it where it is not there.
            lease_seconds: how long a machine that fell silent keeps a job.

        Raises:
            BadInput: the protocol is not known, or there is something else or a store of another
                format; or there is none and none is to be made.
            Unreachable: it does not answer.
        """
        self.files = RemoteFiles(url)
        self.url = self.files.url
        check_format(self.files, make=make)
        self.local = cache_directory() / "stores" / hashlib.sha256(url.encode()).hexdigest()[:16]
        for name in ("results", "claims", "studies"):
            (self.local / name).mkdir(parents=True, exist_ok=True)
        self.mirror = Mirror(self.files, self.local)
        self.notes = RemoteNotes(self.files)
        self.leases = Leases(self.files, machine_of(self.local), lease_seconds)
        self._checked: set[str] = set()
        self._records: dict[str, Record] = {}
        self._listed: set[str] = set()
        self._sizes: dict[str, int] | None = None
        self._whole: dict[str, bool] = {}
        self._remove_old_weights()

    def recorded(self) -> set[str]:
        """Return the keys of all finished jobs, in one listing."""
        names = self.files.sizes("records")
        self._listed = {name[8:-5] for name in names if name.endswith(".json")}
        self._records = {key: each for key, each in self._records.items() if key in self._listed}
        self._sizes = None
        self._whole.clear()
        return set(self._listed)

    def record(self, key: str) -> Record:
        """Read a record; those of the last listing are read together."""
        if key not in self._records:
            together = sorted(self._listed - set(self._records)) if key in self._listed else [key]
            found = self.files.read_many([_record(each) for each in together])
            if _record(key) not in found:
                raise IncompleteInput(f"{self.url}/{_record(key)} is not there")
            for each in together:
                with contextlib.suppress(Corrupted, KeyError):
                    self._records[each] = self._parsed(each, found[_record(each)])
            if key not in self._records:
                return self._parsed(key, found[_record(key)])
        return self._records[key]

    def is_recorded(self, key: str) -> bool:
        """Whether a job is finished: as listed last, or asked anew for one that was claimed."""
        return key in self._listed or self.files.exists(_record(key))

    def has_weights(self, job: Job) -> bool:
        """Whether the checkpoint of a recorded job is still there."""
        if job.key not in self._whole:
            folder = f"{result_folder(job.stage, job.key)}/"
            sizes = self._all_sizes() if job.key in self._listed else self.files.sizes(folder[:-1])
            found = (name for name in sizes if name.startswith(folder))
            self._whole[job.key] = any(name.endswith("/manifest.json") for name in found)
        return self._whole[job.key]

    def place(self, job: Job) -> Path:
        """Return the directory of this machine in which a job's stage writes and is read."""
        return self.local / result_folder(job.stage, job.key)

    def open(self, job: Job) -> Finished:
        """Return the result of a recorded job, fetched and compared with the record."""
        if job.key not in self._checked:
            self._records.pop(job.key, None)
            record = self.record(job.key)
            wanted = dict(record.files)
            if not self.has_files(job):
                wanted = {name: each for name, each in wanted.items() if not _goes(name)}
            self.mirror.fetch(
                {ResultFile(job.stage, job.key, name): each for name, each in wanted.items()}
            )
            self._checked.add(job.key)
        return finished(self.place(job))

    def begin(self, job: Job) -> None:
        """Make room for a job: what was fetched is no run that could be continued."""
        if not (self.place(job) / "plan.json").is_file():
            shutil.rmtree(self.place(job), ignore_errors=True)
        self.log("started", job)

    def save(self, job: Job, result: Finished, numbers: pl.DataFrame, seconds: float) -> None:
        """Store the files of a finished job, its numbers, then the record."""
        write_parquet(self.place(job) / _NUMBERS, numbers)
        record = record_of(job, result, seconds)
        for name in sorted(record.files, key=lambda each: (each == _NUMBERS, each)):
            self.mirror.store(ResultFile(job.stage, job.key, name), record.files[name])
        text = json.dumps(record.as_json(), indent=2, sort_keys=True) + "\n"
        self.files.write(_record(job.key), text.encode())
        self._records[job.key], self._whole[job.key] = record, True
        self.notes.forget_failure(job.key)
        self.log("recorded", job)

    def check(self, job: Job) -> None:
        """Compare the sizes of a recorded result's files with its record, in one listing."""
        record, whole, sizes = self.record(job.key), self.has_files(job), self._all_sizes()
        for name, stored in record.files.items():
            if _goes(name) and not whole:
                continue
            remote = ResultFile(job.stage, job.key, name).remote(stored)
            size = sizes.get(remote)
            if size is None:
                raise Corrupted(f"{self.url}/{remote} is missing")
            if size != stored.size:
                raise Corrupted(
                    f"{self.url}/{remote} has {size} bytes where {stored.size} were written"
                )

    def forget(self, job: Job) -> None:
        """Remove a result that is not what it was, its record first."""
        self._checked.discard(job.key)
        self._records.pop(job.key, None)
        self._listed.discard(job.key)
        self._whole.pop(job.key, None)
        self.files.remove([_record(job.key)])
        self.files.remove(self.files.sizes(result_folder(job.stage, job.key)))
        shutil.rmtree(self.place(job), ignore_errors=True)

    def verify(self, job: Job) -> None:
        """Read every file of a recorded result in the store and compare its hash."""
        record, whole = self.record(job.key), self.has_files(job)
        names = [name for name in record.files if whole or not _goes(name)]
        files = {ResultFile(job.stage, job.key, name): record.files[name] for name in names}
        self.mirror.verify(files)

    def weight_bytes(self, job: Job) -> int:
        """Return the bytes of a checkpoint's weights that are there."""
        folder = result_folder(job.stage, job.key)
        sizes = self._all_sizes() if job.key in self._listed else self.files.sizes(folder)
        ours = {name: size for name, size in sizes.items() if name.startswith(f"{folder}/")}
        return sum(size for name, size in ours.items() if name.endswith(WEIGHTS))

    def drop_weights(self, job: Job) -> bool:
        """Remove the weights of a checkpoint, its manifest first; False where somebody reads it."""
        with self.claim(job, ()) as ours:
            if not ours or self.leases.is_read(job.key):
                return False
            stored = [n for n in self.files.sizes(result_folder(job.stage, job.key)) if _goes(n)]
            self.files.remove(sorted(stored, key=lambda name: name.endswith(WEIGHTS)))
            shutil.rmtree(self.place(job), ignore_errors=True)
            self._whole[job.key] = False
            self._checked.discard(job.key)
        self.log("weights removed", job)
        return True

    @contextlib.contextmanager
    def claim(self, job: Job, reads: Iterable[Job]) -> Iterator[bool]:
        """Hold the right to run a job: by a lock on this machine, by a lease among machines."""
        inputs = list(reads)
        keys = [each.key for each in inputs]
        removable = [each.key for each in inputs if each.stage in MAKES_WEIGHTS]
        with locked(self.local / "claims", job.key, keys) as free:
            if not free:
                yield False
                return
            with self.leases.hold(job.key, removable) as ours:
                for key in (job.key, *removable):
                    self._whole.pop(key, None)
                    self._listed.discard(key)
                yield ours

    def log(self, event: str, job: Job) -> None:
        """Write down what happened."""
        self.notes.log(event, job)

    def events(self) -> list[dict[str, object]]:
        """Return what was written down, oldest first."""
        return self.notes.events()

    def write_failure(self, job: Job, reason: str, details: str) -> str:
        """Write down why a job failed; return where."""
        return self.notes.write_failure(failure_of(job, reason), details)

    def failures(self) -> list[Failure]:
        """Return the last failure of every job that failed and was not recorded since."""
        return self.notes.failures()

    def running(self, jobs: Iterable[Job]) -> set[str]:
        """Return the keys of those jobs that are locked here or leased by another machine."""
        keys, here = {job.key for job in jobs}, self.local / "claims"
        leased = keys & {name.split("/")[1] for name in self.files.sizes("claims")}
        taken = {key for key in leased if self.leases.is_taken(key)}
        return taken | {key for key in keys if is_locked(here, key)}

    def write_cells(self, study: str, cells: pl.DataFrame) -> None:
        """Write the cells of a study."""
        written = io.BytesIO()
        cells.write_parquet(written, compression="zstd")
        self.files.write(f"studies/{study}/cells.parquet", written.getvalue())

    def write_definition(self, study: str, definition: dict[str, Any]) -> None:
        """Write down which file describes a study, and what it says."""
        self.notes.write_definition(study, definition)

    def definitions(self) -> dict[str, dict[str, Any]]:
        """Return what `write_definition` wrote, by study."""
        return self.notes.definitions()

    def cells_files(self) -> list[Path]:
        """Return the files of the cells of all studies, fetched."""
        names = [each for each in self.files.sizes("studies") if each.endswith("/cells.parquet")]
        for name, contents in self.files.read_many(names).items():
            put_bytes(self.local / name, contents)
        return sorted(self.local / name for name in names)

    def result_bytes(self) -> dict[tuple[str, str], int]:
        """Return stage and key of everything that lies there, recorded or not, and its bytes."""
        found: Counter[tuple[str, str]] = Counter()
        for name, size in sorted(self.files.sizes("results").items()):
            _, stage, key, *_ = name.split("/")
            found[stage, key] += size
        return dict(found)

    def tables(self) -> list[StoredTable]:
        """Return every table of all recorded results."""
        records = [self.record(key) for key in sorted(self.recorded())]
        return [
            StoredTable(name.removesuffix(".parquet"), record.stage, record.key)
            for record in records
            for name in record.files
            if name.endswith(".parquet") and "/" not in name
        ]

    def table_files(self, tables: Sequence[StoredTable]) -> list[Path]:
        """Return where tables lie on this machine, fetched and compared with the records."""
        try:
            return self._fetched(tables)
        except Corrupted:  # or made again since the records were read
            for table in tables:
                self._records.pop(table.key, None)
            return self._fetched(tables)

    def _fetched(self, tables: Sequence[StoredTable]) -> list[Path]:
        wanted = {}
        for table in tables:
            file = ResultFile(table.stage, table.key, f"{table.name}.parquet")
            stored = self.record(table.key).files.get(file.file)
            if stored is None:
                raise Corrupted(f"{self.url}: the record {table.key} names no {file.file}")
            wanted[file] = stored
        self.mirror.fetch(wanted)
        return [self.local / file.place for file in wanted]

    def _parsed(self, key: str, contents: bytes) -> Record:
        where = f"{self.url}/{_record(key)}"
        try:
            return record_from(json.loads(contents), where)
        except ValueError as error:
            raise Corrupted(f"{where} is not readable JSON ({error})") from None

    def _all_sizes(self) -> dict[str, int]:
        """Return the sizes of all files of results, as of the first question after `recorded`."""
        if self._sizes is None:
            self._sizes = self.files.sizes("results")
        return self._sizes

    def _remove_old_weights(self) -> None:
        """Remove copies of checkpoints whose weights the store has removed."""
        for stage in MAKES_WEIGHTS:
            for manifest in (self.local / "results" / stage).glob("*/manifest.json"):
                folder = manifest.parent
                kept = any(map(_goes, self.files.sizes(result_folder(stage, folder.name))))
                if kept or not self.is_recorded(folder.name):
                    continue
                with locked(self.local / "claims", folder.name, ()) as free:
                    if free:
                        shutil.rmtree(folder, ignore_errors=True)


def _record(key: str) -> str:
    return f"records/{key}.json"


def _goes(name: str) -> bool:
    """Whether a file of a checkpoint is removed with its weights."""
    return name.rsplit("/", 1)[-1] == "manifest.json" or name.endswith(WEIGHTS)
