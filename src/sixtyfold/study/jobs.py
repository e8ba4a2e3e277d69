"""Jobs of a study: one stage call each, known by what it computes and from what.

A job's key is a hash of its stage, its resolved options and the keys or fingerprints of all it
reads, so equal work has one key in every study, and a changed model or fact set has another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from sixtyfold.study.stages import STAGES

FORMAT = 1
"""Version of keys and records; results of another one are never mixed with these."""


class Place(NamedTuple):
    """Something a job reads that no job makes: as the study file names it, and its contents.

    A model, a fact set, or a folder that an option names (`FOLDERS`).
    """

    reference: str
    fingerprint: str


class Job(NamedTuple):
    """One stage call.

    key: content address, 16 hex digits.
    stage: a name in `STAGES`.
    options: options of its spec that are no places, as JSON values.
    reads: spec field to the key of the job that makes it, to several keys, or to a `Place`.
    """

    key: str
    stage: str
    options: dict[str, Any]
    reads: dict[str, str | tuple[str, ...] | Place]

    @property
    def after(self) -> tuple[str, ...]:
        """Keys of the jobs whose results it reads."""
        found: list[str] = []
        for source in self.reads.values():
            if isinstance(source, str):
                found.append(source)
            elif not isinstance(source, Place):
                found.extend(source)
        return tuple(found)


def make_job(
    stage: str,
    options: Mapping[str, Any],
    reads: Mapping[str, str | tuple[str, ...] | Place | None],
) -> Job:
    """Return a job with its key.

    Args:
        stage: a name in `STAGES`.
        options: options of the stage; values not given are the spec's defaults.
        reads: spec field to what it reads; None leaves the field empty.

    Raises:
        BadInput: the stage's spec refuses the options.
    """
    kind = STAGES[stage]
    given = {name: source for name, source in reads.items() if source is not None}
    places: dict[str, Any] = {name: _placeholder(source) for name, source in given.items()}
    resolved = kind.spec_class().parse({**options, **places, "out": "..."}).recorded()
    own = {
        name: value
        for name, value in resolved.items()
        if name not in kind.reads and name not in given
    }
    sources = {
        name: source.fingerprint if isinstance(source, Place) else source
        for name, source in given.items()
    }
    identity = {"format": FORMAT, "stage": stage, "options": own, "reads": sources}
    text = json.dumps(identity, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Job(key, stage, dict(options), given)


def _placeholder(source: str | tuple[str, ...] | Place) -> str | list[str]:
    """Return what stands in a spec for a place that is not known yet."""
    return "..." if isinstance(source, str | Place) else ["..."]
