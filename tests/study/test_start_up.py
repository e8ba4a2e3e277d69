"""What commands of a study load: nothing that is large and not needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from made_up_checkpoints import LLAMA_SHAPES, write_checkpoint

LARGE = ("torch", "transformers", "scipy.stats", "statsmodels", "pandas", "duckdb")
DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import toy_stages
toy_stages.use_everywhere()
from sixtyfold.cli import run_command
large, arguments = json.loads(sys.argv[2]), sys.argv[3:]
code = run_command(arguments)
print(json.dumps([code, [name for name in large if name in sys.modules]]))
"""


def loaded(*arguments: str) -> list[str]:
    """Run a command with toy stages in a process of its own; return what it loaded of `LARGE`."""
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", DRIVER, tests, json.dumps(LARGE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    code, found = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    return found  # type: ignore[no-any-return]


@pytest.fixture
def finished_study(tmp_path: Path) -> Path:
    """Run a study with a choice; return its file."""
    weights = {name: np.zeros(shape, np.float32) for name, shape in LLAMA_SHAPES.items()}
    model = write_checkpoint(tmp_path / "model", weights)
    grid = {"name": "g", "select": {"size": 4}, "tune": {"learning_rate": [1e-5, 1e-4]}}
    values = {
        "name": "s",
        "store": str(tmp_path / "store"),
        "models": [str(model)],
        "facts": {"facts": "atlas"},
        "grids": [{**grid, "choose": "learning_rate", "drift": {}}],
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(values))
    assert "statsmodels" in loaded("study", "run", "--file", str(tmp_path / "s.yaml"))
    return tmp_path / "s.yaml"


def test_help_loads_nothing_large() -> None:
    assert loaded("--help") == []


def test_looking_at_a_finished_study_loads_nothing_large(finished_study: Path) -> None:
    for verb in ("status", "run", "results"):
        assert loaded("study", verb, "--file", str(finished_study)) == [], verb
