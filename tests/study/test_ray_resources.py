"""Jobs for which no node of a cluster has room, with a stand-in for Ray."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.study.cluster import RayExecutor
from sixtyfold.study.file import Resources

NODES = [
    {"Alive": True, "Resources": {"CPU": 16.0, "memory": 64e9}},
    {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0, "memory": 16e9}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0, "memory": 512e9}},
]


def executor(**resources: dict[str, Any]) -> RayExecutor:
    """Return an executor that sees `NODES` and is connected to nothing."""
    made = RayExecutor.__new__(RayExecutor)
    made.ray = SimpleNamespace(nodes=lambda: NODES)
    made.resources = {name: Resources(**each) for name, each in resources.items()}
    return made


def refused(stages: set[str], **resources: dict[str, Any]) -> str:
    with pytest.raises(BadInput) as caught:
        executor(**resources).refuse_too_large(stages, print, grows=False)
    return str(caught.value)


def test_what_no_single_node_has_is_refused_with_both_sides() -> None:
    said = refused({"tune"}, tune={"gpus": 2})
    assert "tune asks for 1 CPUs, 2 GPUs, and no node has that" in said
    assert "(nodes: 16 CPUs, 0 GPUs, 64.0 GB; 4 CPUs, 1 GPUs, 16.0 GB)" in said
    assert "--ray-grows" in said
    # each is there, and on no node all of it
    assert "8 CPUs, 1 GPUs" in refused({"tune"}, tune={"cpus": 8, "gpus": 1})
    assert "20.0 GB" in refused({"probe"}, all={"gpus": 0.5, "memory": 20_000_000_000})


def test_what_fits_or_is_not_needed_is_taken() -> None:
    given = executor(tune={"gpus": 1, "cpus": 4}, all={"cpus": 16}, drift={"gpus": 4})
    given.refuse_too_large({"tune", "probe"}, print, grows=False)


def test_a_cluster_that_grows_is_waited_for_with_a_line() -> None:
    said: list[str] = []
    executor(tune={"gpus": 2}).refuse_too_large({"tune", "probe"}, said.append, grows=True)
    assert len(said) == 1
    assert said[0].endswith("its jobs wait for one")
