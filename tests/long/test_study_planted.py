"""A real study of a planted model: 24 trainings, here and on a Ray cluster that loses a node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from sixtyfold.stages.plant.run import run as plant
from sixtyfold.stages.plant.spec import PlantSpec
from sixtyfold.study.store import LocalStore

pytest.importorskip("ray", reason="Ray is not installed (make setup-dev)")

ON_A_CLUSTER = """
import sys, threading
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

from sixtyfold.study.cluster import RayExecutor
from sixtyfold.study.drive import drive
from sixtyfold.study.inputs import find_inputs
from sixtyfold.study.open_store import open_store
from sixtyfold.study.reading import read_study

study, store = read_study(Path(sys.argv[1])), open_store(sys.argv[2])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
ray.init(address=cluster.address, log_to_driver=False)
seen = []

def tell(line):
    seen.append(line)
    if len(seen) == 20:
        cluster.remove_node(second, allow_graceful=False)
        cluster.add_node(num_cpus=1)

inputs = find_inputs(study)
driven = drive(study, inputs, store, RayExecutor(study, store, cluster.address), tell)
sys.exit(str(driven.failed) if driven.failed else 0)
"""


def study_of(planted: Path, folder: Path) -> Path:
    """Write the study file: 3 sizes, 2 rates, 4 seeds."""
    values: dict[str, Any] = {
        "name": "planted",
        "models": [str(planted)],
        "facts": {"facts": str(planted)},
        "shards": 2,
        "probe": {"templates": 2},
        "seeds": [0, 1, 2, 3],
        "grids": [
            {
                "name": "natural",
                "select": {"size": [8, 16, 24], "short": "fill"},
                "tune": {"learning_rate": [1e-3, 1e-4], "epochs": 4},
                "choose": "learning_rate",
                "own": True,
                "diff": {},
                "drift": {},
            }
        ],
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def run(arguments: list[str]) -> None:
    # one thread everywhere: sums in another order would differ in the last bits
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    done = subprocess.run(
        arguments, env=environment, capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.long
def test_a_cluster_that_loses_a_node_makes_the_results_of_one_process(tmp_path: Path) -> None:
    planted = plant(PlantSpec(out=tmp_path / "model", subjects=60)).path
    file = study_of(planted, tmp_path)
    stores = {name: str(tmp_path / name) for name in ("here", "cluster")}
    sixtyfold = [sys.executable, "-m", "sixtyfold", "study"]
    run([*sixtyfold, "run", "--file", str(file), "--store", stores["here"]])
    run([sys.executable, "-c", ON_A_CLUSTER, str(file), stores["cluster"]])
    for name, store in stores.items():
        out = str(tmp_path / f"{name}.csv")
        run([*sixtyfold, "results", "--file", str(file), "--store", store, "--out", out])
    here, cluster = (tmp_path / f"{name}.csv" for name in stores)
    assert here.read_bytes() == cluster.read_bytes()
    events = LocalStore(Path(stores["cluster"])).events()
    recorded = [each["key"] for each in events if each["event"] == "recorded"]
    assert len(recorded) == len(set(recorded))
    assert len({each["process"] for each in events}) >= 2
    print(json.dumps({"jobs": len(recorded), "rows": here.read_text().count("\n")}))
