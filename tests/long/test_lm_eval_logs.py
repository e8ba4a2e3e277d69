"""Logs that lm-eval itself writes: read, joined and compared as they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from sixtyfold.core.answer_files import read_answers
from sixtyfold.core.errors import BadInput
from sixtyfold.core.stage import finished
from sixtyfold.stages.compare.run import run as compare
from sixtyfold.stages.compare.spec import CompareSpec
from sixtyfold.stages.evaluate.run import run as evaluate
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.workflows.export import run as export
from sixtyfold.workflows.export_spec import ExportLmEvalSpec

pytest.importorskip("lm_eval", reason="lm-eval is not installed; 'make setup-dev' does that")
pytestmark = pytest.mark.long

GENERATE = """task: written
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: generate_until
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n"], max_gen_toks: 6, do_sample: false}}
metric_list: [{{metric: exact_match, ignore_case: true, ignore_punctuation: true}}]
filter_list:
  - {{name: strict, filter: [{{function: take_first}}]}}
  - {{name: stripped, filter: [{{function: remove_whitespace}}, {{function: take_first}}]}}
"""
CHOOSE = """task: chosen
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{data}"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: gold
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""


def lm_eval(folder: Path, tasks: str, model: Path, out: Path) -> None:
    arguments = ["--model", "hf", "--model_args", f"pretrained={model},dtype=float32"]
    where = ["--include_path", str(folder), "--tasks", tasks, "--output_path", str(out)]
    program = [sys.executable, "-m", "lm_eval", *arguments, *where]
    program += ["--batch_size", "32", "--device", "cpu", "--log_samples"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def folder_of(out: Path) -> Path:
    """Return the folder that lm-eval names after the model."""
    return next(out.rglob("samples_*.jsonl")).parent


def another(objects: list[str], index: int) -> str:
    """Return the next object that is another text."""
    rest = [*objects[index + 1 :], *objects[:index]]
    return next(each for each in rest if each != objects[index])


def test_written_and_chosen_answers(planted: Path, tuned: Path, tmp_path: Path) -> None:
    facts = finished(planted).table("facts").filter(split="test").head(40)
    objects = facts["objects"].list.first().to_list()
    rows = [
        {"question": row["question"], "answer": row["objects"][0], "relation": row["relation"],
         "choices": [row["objects"][0], another(objects, index)], "gold": 0}
        for index, row in enumerate(facts.to_dicts())
    ]  # fmt: skip
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tasks / "written.yaml").write_text(GENERATE.format(data=data))
    (tasks / "chosen.yaml").write_text(CHOOSE.format(data=data))
    for name, model in (("base", planted), ("tuned", tuned)):
        lm_eval(tasks, "written,chosen", model, tmp_path / name)
    before, after = folder_of(tmp_path / "base"), folder_of(tmp_path / "tuned")
    with pytest.raises(BadInput, match=r"2 filters \(strict, stripped\)"):
        read_answers(before)
    for task, metric, options in (
        ("written", "exact_match", {"answer_filter": "stripped"}),
        ("chosen", "acc", {}),
    ):
        logs = [next(side.glob(f"samples_{task}_*.jsonl")) for side in (before, after)]
        spec = CompareSpec(before=logs[0], after=logs[1], out=tmp_path / task,
                           relation_field="relation", **options)  # fmt: skip
        done = compare(spec)
        table = done.table("transitions")
        assert table.height == 40
        assert set(table["relation"]) == set(facts["relation"])
        for side, folder in (("before", before), ("after", after)):
            results = json.loads(next(folder.glob("results_*.json")).read_text())["results"]
            key = f"{metric},{options.get('answer_filter', 'none')}"
            assert table[f"hit_{side}"].mean() == pytest.approx(results[task][key])
        if task == "chosen":  # the choice that is shown is the right one exactly where it was a hit
            first = dict(zip(facts["question"], objects, strict=True))
            log = read_answers(logs[1]).table
            asked = [prompt[len("Question: ") : -len("\nAnswer:")] for prompt in log["prompt"]]
            right = pl.Series([first[each] for each in asked])
            assert (log["answer"] == right).equals(log["hit"])


def test_logs_of_an_export_compare_like_our_own_answers(
    planted: Path, tuned: Path, tmp_path: Path
) -> None:
    for name, model in (("base", planted), ("tuned", tuned)):
        both = {"facts": str(planted), "model": str(model)}
        evaluate(EvaluateSpec(out=tmp_path / f"ours-{name}", dtype="float32", **both))
        task = export(ExportLmEvalSpec(out=tmp_path / f"task-{name}", **both))
        lm_eval(task.path, "sixtyfold_test", model, tmp_path / f"log-{name}")
    ours = [tmp_path / f"ours-{name}" for name in ("base", "tuned")]
    logs = [folder_of(tmp_path / f"log-{name}") for name in ("base", "tuned")]
    wanted = compare(CompareSpec(before=ours[0], after=ours[1], out=tmp_path / "a"))
    found = compare(CompareSpec(before=logs[0], after=logs[1], out=tmp_path / "b"))
    mixed = compare(CompareSpec(before=ours[0], after=logs[1], out=tmp_path / "c"))
    assert found.json("comparison") == wanted.json("comparison") == mixed.json("comparison")
    assert found.manifest["rules"]["after"] == "lm-eval hit (none)"
