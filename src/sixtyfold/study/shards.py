"""Probing in parts: a fact set is cut, each part probed by a job of its own, the probes joined.

Facts are probed one by one with draws of their own, so the parts together are one probe.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import polars as pl
from pydantic import Field

from sixtyfold.core.errors import BadInput
from sixtyfold.core.spec import Spec, StageSpec
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.sources.open import open_facts

_TABLES = {"probe": ["fact_id"], "probe_prompts": ["fact_id", "template_id"]}


class ShardSpec(StageSpec):
    """Take every n-th fact of each split and relation."""

    facts: Path
    """A finished fact set."""

    index: int = Field(ge=0)
    """Which of the parts, from 0."""

    shards: int = Field(ge=1)
    """Number of parts."""


class JoinSpec(StageSpec):
    """Put the probes of all parts together."""

    not_recorded: ClassVar[frozenset[str]] = Spec.not_recorded | {"parts"}

    facts: Path
    """The fact set that was cut."""

    parts: tuple[Path, ...]
    """The probes of its parts."""


def cut(spec: ShardSpec) -> Finished:
    """Write one part of a fact set as a fact set."""
    source = open_facts(str(spec.facts))
    order = ["split", "relation", "fact_id"]
    facts = source.facts.sort(order).gather_every(spec.shards, spec.index).sort("fact_id")
    with open_stage("facts", spec, {"facts": source.fingerprint}) as stage:
        if stage.complete:
            return finished(spec.out, "facts")
        stage.write_table("facts", facts)
        stage.write_table("templates", source.templates)
        return stage.finish({"facts": facts.height, "templates": source.templates.height})


def join(spec: JoinSpec) -> Finished:
    """Write the probes of all parts as one probe.

    Raises:
        BadInput: two parts hold the same fact.
    """
    parts = [finished(each, "probe") for each in spec.parts]
    inputs = {"facts": open_facts(str(spec.facts)).fingerprint}
    inputs |= {"model": parts[0].manifest["inputs"]["model"]}
    inputs |= {f"part_{index}": each.fingerprint for index, each in enumerate(parts)}
    with open_stage("probe", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "probe")
        rows = {}
        for name, key in _TABLES.items():
            table = pl.concat([each.table(name) for each in parts]).sort(key)
            if table.select(pl.struct(key).is_duplicated().any()).item():
                raise BadInput(f"two parts of {', '.join(map(str, spec.parts))} hold one fact")
            rows[name] = stage.write_table(name, table).height
        kept = {name: parts[0].manifest["spec"][name] for name in ("match", "estimator")}
        return stage.finish(rows, probed_as=kept)
