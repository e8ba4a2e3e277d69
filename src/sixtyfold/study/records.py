"""Records: what a store knows of a finished job, and whether its files are still what they were.

A record is written last, after every file of the result, so its existence means "complete".
"""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.errors import Corrupted
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.core.stage import Finished
from sixtyfold.study.jobs import FORMAT, Job, Place

WEIGHTS = (".safetensors", ".bin")
"""Files that are removed when no job needs a checkpoint any more."""

_DIFFERS = "timings.json"
WEIGHTS_DIFFER = "weights differ"
"""Event: a checkpoint that was made again is not what it was, bit for bit."""

REMOVED = "removed.json"
"""What the manifest of a checkpoint without weights is called."""

_NO_RESULT = (".lock", "parts", "plan.json", REMOVED, _DIFFERS)


class Failure(NamedTuple):
    """How the last run of a job ended that was not recorded since.

    time: seconds since 1970.
    """

    key: str
    stage: str
    reason: str
    time: float


class StoredFile(NamedTuple):
    """Size in bytes and SHA-256 of a file of a result."""

    size: int
    sha256: str


class Record(NamedTuple):
    """A finished job.

    reads: spec field to the key or fingerprint of what was read.
    files: name below the result's directory to what it was.
    seconds: of the stage itself.
    packages: versions that decide results.
    """

    key: str
    stage: str
    options: dict[str, Any]
    reads: dict[str, Any]
    files: dict[str, StoredFile]
    seconds: float
    packages: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return the form that is written down."""
        return {"format": FORMAT, **self._asdict()}


def record_of(job: Job, result: Finished, seconds: float) -> Record:
    """Return the record of a job that was just finished."""
    names = sorted(
        str(path.relative_to(result.path))
        for path in result.path.rglob("*")
        if path.is_file() and path.relative_to(result.path).parts[0] not in _NO_RESULT
    )
    files = {name: _stored(result.path / name) for name in names}
    reads = {
        name: source.fingerprint if isinstance(source, Place) else source
        for name, source in job.reads.items()
    }
    options = result.manifest["spec"]
    packages = result.manifest["packages"]
    return Record(job.key, job.stage, options, reads, files, round(seconds, 3), packages)


def failure_of(job: Job, reason: str) -> Failure:
    """Return the failure of a job that just failed."""
    return Failure(job.key, job.stage, reason, round(time.time(), 3))


def record_from(value: Any, origin: str) -> Record:
    """Read a record.

    Raises:
        Corrupted: it is none, or one of another format.
    """
    try:
        found = value["format"]
        fields = {name: value[name] for name in Record._fields}
        fields["files"] = {name: StoredFile(*each) for name, each in value["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise Corrupted(f"{origin} is no record ({error!r})") from None
    if found != FORMAT:
        raise Corrupted(f"{origin} is of format {found}, this version writes {FORMAT}")
    return Record(**fields)


def check_files(record: Record, folder: Path, *, weights: bool, hashes: bool = True) -> None:
    """Compare the files of a result with its record.

    Args:
        record: what they were.
        folder: where they are.
        weights: also the weights of a checkpoint, by size, and its manifest.
        hashes: compare contents, not only sizes.

    Raises:
        Corrupted: a file is missing, of another size or of other contents; the message names it.
    """
    for name in checked_names(record, weights=weights):
        path, stored = folder / name, record.files[name]
        heavy = name.endswith(WEIGHTS)
        if not path.is_file():
            raise Corrupted(f"{path} is missing")
        size = path.stat().st_size
        if size != stored.size:
            raise Corrupted(f"{path} has {size} bytes where {stored.size} were written")
        if hashes and not heavy and file_sha256(path) != stored.sha256:
            raise Corrupted(f"{path} does not hold what was written")


def checked_names(record: Record, *, weights: bool) -> list[str]:
    """Return the files that must be there: all, or those that stay when weights are removed."""
    return [
        name
        for name in record.files
        if weights or not (name.endswith(WEIGHTS) or name == "manifest.json")
    ]


def read_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as it is now, whatever was remembered of it."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def weights_differ(before: Record, after: Record) -> bool:
    """Whether two checkpoints of one job have other weights."""
    old, new = (
        {name: each for name, each in record.files.items() if name.endswith(WEIGHTS)}
        for record in (before, after)
    )
    return old != new


def _stored(path: Path) -> StoredFile:
    return StoredFile(path.stat().st_size, file_sha256(path))
