"""lm-eval itself runs an exported task: the same answers, one by one, and the same accuracy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sixtyfold.core.stage import Finished
from sixtyfold.engines.first_line import cut_answer
from sixtyfold.stages.evaluate.run import run as evaluate
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.workflows.export import run as export
from sixtyfold.workflows.export_spec import ExportLmEvalSpec

pytest.importorskip("lm_eval", reason="lm-eval is not installed; 'make setup-dev' does that")
pytestmark = pytest.mark.long
CHAT = "{% for m in messages %}{{ m.content }} {% endfor %}Answer:"


def lm_eval(task: Finished, model: Path, out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run the command that the export names; return its results and its samples."""
    command = task.manifest["command"].split()
    assert command[0] == "lm_eval"
    filled = {"DIRECTORY": str(task.path), "RESULTS": str(out)}
    filled["pretrained=MODEL,dtype=bfloat16"] = f"pretrained={model},dtype=float32"
    filled["pretrained=MODEL,dtype=bfloat16,add_bos_token=False"] = (
        f"pretrained={model},dtype=float32,add_bos_token=False"
    )
    command = [filled.get(each, each) for each in command[1:]]
    program = [sys.executable, "-m", "lm_eval", *command, "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = out.rglob("results_*.json")
    (log,) = out.rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return json.loads(results.read_text(encoding="utf-8"))["results"], samples


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("planted", {}),
        ("tuned", {"match": "paper", "max_new_tokens": 5}),
        ("tuned", {"shots": 2, "prompt_form": "papers", "match": "loose"}),
        ("tuned", {"prompt_form": "chat", "shots": 1, "limit": 20}),
    ],
)
def test_lm_eval_gives_our_answers_and_our_accuracy(
    model: str,
    options: dict[str, Any],
    planted: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(request.getfixturevalue(model), directory)
    if options.get("prompt_form") == "chat":
        (directory / "chat_template.jinja").write_text(CHAT, encoding="utf-8")
    both = {"facts": str(planted), "model": str(directory), **options}
    answers = evaluate(EvaluateSpec(out=tmp_path / "e", dtype="float32", **both)).table("answers")
    task = export(ExportLmEvalSpec(out=tmp_path / "t", **both))
    results, samples = lm_eval(task, directory, tmp_path / "r")
    ours = {row["fact_id"]: row for row in answers.iter_rows(named=True)}
    assert [each["doc"]["fact_id"] for each in samples] == list(ours)
    for each in samples:
        row = ours[each["doc"]["fact_id"]]
        assert cut_answer(each["filtered_resps"][0]) == row["answer"]
        assert (bool(each["hit"]), bool(each["exact"])) == (row["hit"], row["exact"])
        assert each["f1"] == pytest.approx(row["f1"])
    found = results["sixtyfold_test"]
    assert found["hit,none"] == pytest.approx(answers["hit"].mean())
    assert found["exact,none"] == pytest.approx(answers["exact"].mean())
    for domain in ("in", "out"):
        part = answers.filter(domain=domain)
        assert found[f"hit_{domain},none"] == pytest.approx(part["hit"].mean())
    assert 0 < answers["hit"].mean() < 1
