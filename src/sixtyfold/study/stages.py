"""Which stages a study is made of: their specs, functions, and what they read from each other.

Knows names and places only; nothing is imported before a stage is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import Finished


class StageKind(NamedTuple):
    """A stage as jobs of a study use it.

    spec, function: `module:name` of the stage's spec and of the function that runs it.
    reads: spec fields that name what it reads.
    """

    spec: str
    function: str
    reads: tuple[str, ...]

    def spec_class(self) -> type[StageSpec]:
        """Import the spec."""
        found: type[StageSpec] = _imported(self.spec)
        return found

    def run(self, spec: StageSpec) -> Finished:
        """Run the stage; raises what it raises."""
        function: Callable[[StageSpec], Finished] = _imported(self.function)
        return function(spec)


def _stage(name: str, *reads: str) -> StageKind:
    folder = f"sixtyfold.stages.{name}"
    return StageKind(f"{folder}.spec:{name.capitalize()}Spec", f"{folder}.run:run", reads)


STAGES: dict[str, StageKind] = {
    "facts": StageKind(
        "sixtyfold.sources.spec:FactsBuildSpec", "sixtyfold.sources.build:build", ("facts",)
    ),
    "shard": StageKind(
        "sixtyfold.study.shards:ShardSpec", "sixtyfold.study.shards:cut", ("facts",)
    ),
    "probe": _stage("probe", "model", "facts"),
    "join": StageKind(
        "sixtyfold.study.shards:JoinSpec", "sixtyfold.study.shards:join", ("facts", "parts")
    ),
    "select": _stage("select", "facts", "probe"),
    "tune": _stage("tune", "model", "selection"),
    "evaluate": _stage("evaluate", "model", "facts", "probe", "selection"),
    "compare": _stage("compare", "before", "after"),
    "drift": _stage("drift", "base", "tuned", "facts", "probe"),
    "diff": _stage("diff", "base", "tuned"),
    "search": StageKind(
        "sixtyfold.workflows.search_spec:SearchSpec",
        "sixtyfold.workflows.search:search",
        ("base", "tuned", "facts", "probe"),
    ),
}
"""Kind of a job to its stage. `shard` and `join` cut a fact set and put its probes together."""

FOLDERS = {"search": ("include_path",)}
"""Options of stages that name a folder of the user's, of which the contents count."""

MAKES_WEIGHTS = ("tune",)
"""Stages whose result is a checkpoint, which is large and can be made again."""


def _imported(where: str) -> Any:
    module, name = where.split(":")
    return getattr(importlib.import_module(module), name)
