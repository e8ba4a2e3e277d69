"""Jobs as tasks of a real Ray cluster of two nodes on this machine, with toy stages.

Needs the extra `ray` (make setup-dev); the toy stages reach the workers through a driver in a
process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed (make setup-dev)")

DRIVER = """
import json, sys
from pathlib import Path

import pytest, ray
from ray.cluster_utils import Cluster

import toy_stages
from sixtyfold.study.cluster import RayExecutor
from sixtyfold.study.drive import drive
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.local import LocalExecutor
from sixtyfold.study.plan import Inputs
from sixtyfold.study.results import results_table
from sixtyfold.study.store import LocalStore

root, killed = Path(sys.argv[1]), sys.argv[2] == "killed"
rates = [1e-5, 3e-5, 1e-4]
grid = {"name": "g", "select": {"size": [4, 8]}, "tune": {"learning_rate": rates},
        "choose": "learning_rate", "drift": {}, "diff": {}}
study = StudyFile.model_validate({
    "name": "toy", "models": [{"name": "m", "model": "x"}], "seeds": [0, 1, 2, 3], "grids": [grid],
    "resources": {"all": {"cpus": 1}},
})
inputs = Inputs(Place("atlas", "facts0"), {"m": Place("x", "model0")}, frozenset())

toy_stages.use(pytest.MonkeyPatch())
local = LocalStore(root / "local")
one = drive(study, inputs, local, LocalExecutor(local), lambda _: None)

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
setup = {"env_vars": {"PYTHONPATH": sys.argv[3], "TOY_PAUSE": "0.05"},
         "worker_process_setup_hook": "toy_stages.use_everywhere"}
ray.init(address=cluster.address, runtime_env=setup, log_to_driver=False)
store = LocalStore(root / "ray")
seen = []

def tell(line):
    seen.append(line)
    if killed and len(seen) == 15:
        cluster.remove_node(second, allow_graceful=False)

two = drive(study, inputs, store, RayExecutor(study, store, cluster.address), tell)
tables = [results_table(s, study, d.plan).write_csv() for s, d in ((local, one), (store, two))]
events = store.events()
recorded = [e["key"] for e in events if e["event"] == "recorded"]
(root / "found.json").write_text(json.dumps({
    "equal": tables[0] == tables[1], "rows": tables[0].count("\\n"), "failed": two.failed,
    "jobs": len(two.plan.jobs), "done": len(two.done), "recorded": len(recorded),
    "different": len(set(recorded)), "workers": len({e["process"] for e in events}),
}))
"""


@pytest.mark.long
@pytest.mark.parametrize("how", ["whole", "killed"])
def test_a_cluster_makes_the_same_results(how: str, tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), how, tests],
        env={**os.environ, "PYTHONPATH": tests, "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["equal"]
    assert found["failed"] == {}
    assert found["done"] == found["jobs"] == found["recorded"] == found["different"]
    assert found["rows"] > 24
    assert found["workers"] >= 2
