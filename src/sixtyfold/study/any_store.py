"""What every store does: results by the key of their job, wherever they lie.

    format.json               version of the layout
    results/STAGE/KEY/        what a stage wrote, and its numbers (numbers.parquet)
    records/KEY.json          written last: the job is done
    claims/                   who runs a job
    failures/KEY.json, .txt   why a job failed last
    studies/NAME/             the cells of a study, and the file that describes it (study.json)

Files that are read are files of this machine: a store that lies elsewhere fetches them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput
from sixtyfold.core.facts import read_table
from sixtyfold.core.stage import Finished
from sixtyfold.study.columns import SCHEMA
from sixtyfold.study.jobs import Job
from sixtyfold.study.records import Failure, Record
from sixtyfold.study.stages import MAKES_WEIGHTS

NUMBERS = "numbers"


class NoStore(BadInput):
    """There is no store at an address that is only to be read."""


class StoredTable(NamedTuple):
    """A table of a recorded result: NAME.parquet of the stage directory of `key`."""

    name: str
    stage: str
    key: str


class Store(ABC):
    """Results of jobs, shared by all who know the address."""

    url: str
    """The address: `open_store(url)` opens the same store elsewhere."""

    pause = 0.2
    """Seconds to wait before asking again what others have done."""

    @abstractmethod
    def recorded(self) -> set[str]:
        """Return the keys of all finished jobs."""

    @abstractmethod
    def record(self, key: str) -> Record:
        """Read a record.

        Raises:
            IncompleteInput: the job is not finished.
            Corrupted: the record is not readable or of another format.
        """

    @abstractmethod
    def is_recorded(self, key: str) -> bool:
        """Whether a job is finished (its weights may have been removed since)."""

    def has_files(self, job: Job) -> bool:
        """Whether the result of a recorded job is whole: not a checkpoint without weights."""
        return job.stage not in MAKES_WEIGHTS or self.has_weights(job)

    @abstractmethod
    def has_weights(self, job: Job) -> bool:
        """Whether the checkpoint of a recorded job is still there."""

    @abstractmethod
    def place(self, job: Job) -> Path:
        """Return the directory of this machine in which a job's stage writes and is read."""

    @abstractmethod
    def open(self, job: Job) -> Finished:
        """Return the result of a recorded job, its files compared with the record.

        Raises:
            IncompleteInput: the job is not finished, or its weights were removed.
            Corrupted: a file is not what was written; the message names it.
        """

    @abstractmethod
    def begin(self, job: Job) -> None:
        """Make the place of a job ready to be written, and note that it was started."""

    @abstractmethod
    def save(self, job: Job, result: Finished, numbers: pl.DataFrame, seconds: float) -> None:
        """Record a finished job: its files, its numbers, then the record.

        Args:
            job: what was done.
            result: the stage directory in `place(job)`.
            numbers: in the columns of `columns.SCHEMA`.
            seconds: of the stage itself.
        """

    @abstractmethod
    def check(self, job: Job) -> None:
        """Compare the sizes of a recorded result's files with its record.

        Raises:
            Corrupted: a file is missing or of another size, or the record is not readable.
        """

    @abstractmethod
    def forget(self, job: Job) -> None:
        """Remove a result that is not what it was, its record first."""

    def holds_weights(self, job: Job) -> bool:
        """Whether anything of a checkpoint's weights takes room, whole or half removed."""
        return self.has_weights(job) or self.weight_bytes(job) > 0

    @abstractmethod
    def weight_bytes(self, job: Job) -> int:
        """Return the bytes of a checkpoint's weights that are there, whole or half removed."""

    @abstractmethod
    def verify(self, job: Job) -> None:
        """Read every file of a recorded result, weights included, and compare its hash.

        Raises:
            Corrupted: a file is missing or not what was written, or the record is not readable.
        """

    @abstractmethod
    def drop_weights(self, job: Job) -> bool:
        """Remove the weights of a checkpoint; False where somebody reads or makes them."""

    @abstractmethod
    def claim(self, job: Job, reads: Iterable[Job]) -> AbstractContextManager[bool]:
        """Hold the right to run a job, and its inputs against removal.

        Yields:
            False where another process holds it, or removes one of the inputs.
        """

    @abstractmethod
    def log(self, event: str, job: Job) -> None:
        """Write down what happened."""

    @abstractmethod
    def events(self) -> list[dict[str, object]]:
        """Return what was written down, oldest first: time, event, stage, key, process."""

    @abstractmethod
    def write_failure(self, job: Job, reason: str, details: str) -> str:
        """Write down why a job failed; return where. It is forgotten when the job is recorded.

        Args:
            job: of which.
            reason: one line.
            details: the traceback of an unexpected error, or nothing.
        """

    @abstractmethod
    def failures(self) -> list[Failure]:
        """Return the last failure of every job that failed and was not recorded since."""

    @abstractmethod
    def running(self, jobs: Iterable[Job]) -> set[str]:
        """Return the keys of those jobs that a process holds the right to run."""

    @abstractmethod
    def write_cells(self, study: str, cells: pl.DataFrame) -> None:
        """Write the cells of a study."""

    @abstractmethod
    def write_definition(self, study: str, definition: dict[str, Any]) -> None:
        """Write down which file describes a study, and what it says."""

    @abstractmethod
    def definitions(self) -> dict[str, dict[str, Any]]:
        """Return what `write_definition` wrote, by study; what is not readable is left out."""

    @abstractmethod
    def cells_files(self) -> list[Path]:
        """Return the files of the cells of all studies."""

    @abstractmethod
    def result_bytes(self) -> dict[tuple[str, str], int]:
        """Return stage and key of everything that lies there, recorded or not, and its bytes."""

    @abstractmethod
    def tables(self) -> list[StoredTable]:
        """Return every table of all recorded results."""

    @abstractmethod
    def table_files(self, tables: Sequence[StoredTable]) -> list[Path]:
        """Return where tables lie on this machine, in the given order.

        Raises:
            IncompleteInput: one of the jobs is not finished.
            Corrupted: a file is not what was written.
        """

    def table(self, table: StoredTable) -> pl.DataFrame:
        """Read a table.

        Raises:
            IncompleteInput: the job is not finished.
            Corrupted: the file is missing or not what was written.
        """
        path = self.table_files([table])[0]
        if not path.is_file():
            raise Corrupted(f"{path} is missing")
        return read_table(path)

    def numbers(self, jobs: Iterable[Job]) -> pl.DataFrame:
        """Return the numbers of recorded jobs with the column `key`.

        Raises:
            Corrupted: one of the files is not readable.
        """
        recorded = self.recorded()
        tables = [StoredTable(NUMBERS, job.stage, job.key) for job in jobs if job.key in recorded]
        if not tables:
            return pl.DataFrame(schema={**SCHEMA, "key": pl.String()})
        try:
            paths = self.table_files(tables)
            frame = pl.read_parquet(paths, include_file_paths="path", schema=SCHEMA)
        except (pl.exceptions.PolarsError, OSError, Corrupted, IncompleteInput) as error:
            raise Corrupted(
                f"numbers of the store {self.url} are not readable "
                f"({' '.join(str(error).split())[:200]}); 'sixtyfold study run' makes them again"
            ) from None
        key = pl.col("path").str.extract(r"([0-9a-f]{16})/numbers\.parquet$")
        return frame.with_columns(key=key).drop("path")
