"""The exported task: its prompts and judgements are ours. (lm-eval itself runs in tests/long.)"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from sixtyfold.cli import run_command
from sixtyfold.core.errors import BadInput
from sixtyfold.core.matching import MatchMode, exact, matcher, token_f1
from sixtyfold.core.stage import finished
from sixtyfold.engines.first_line import cut_answer
from sixtyfold.workflows.export import plan, run
from sixtyfold.workflows.export_spec import ExportLmEvalSpec

LABELLED = Path(__file__).parents[1] / "core" / "data" / "labelled_continuations.jsonl"


def export(facts: Path, out: Path, **options: Any) -> Path:
    return run(ExportLmEvalSpec(facts=str(facts), out=out, **options)).path


def documents(task: Path) -> list[dict[str, Any]]:
    (path,) = task.glob("*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scoring(task: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported_utils", task / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_documents_are_the_questions_of_the_split_in_key_order(
    planted: Path, tmp_path: Path
) -> None:
    rows = documents(export(planted, tmp_path / "t", split="dev"))
    facts = finished(planted).table("facts").filter(split="dev").sort("fact_id")
    assert [row["fact_id"] for row in rows] == facts["fact_id"].to_list()
    assert [row["prompt"] for row in rows] == [
        f"Question: {question}\nAnswer:" for question in facts["question"]
    ]
    assert [row["objects"] for row in rows] == facts["objects"].to_list()


def test_prompts_are_those_that_evaluate_gives(planted: Path, tmp_path: Path) -> None:
    from sixtyfold.core.models import load_tokenizer
    from sixtyfold.stages.evaluate.run import run as evaluate
    from sixtyfold.stages.evaluate.spec import EvaluateSpec

    options: dict[str, Any] = {"facts": str(planted), "shots": 3, "limit": 12, "seed": 4}
    rows = documents(run(ExportLmEvalSpec(out=tmp_path / "t", **options)).path)
    answered = evaluate(
        EvaluateSpec(out=tmp_path / "e", model=str(planted), max_new_tokens=1, **options)
    ).table("answers")
    tokenizer = load_tokenizer(planted)
    assert answered["fact_id"].to_list() == [row["fact_id"] for row in rows]
    assert answered["prompt"].to_list() == [
        tokenizer.decode(tokenizer(row["prompt"])["input_ids"]) for row in rows
    ]


@pytest.mark.parametrize("match", ["paper", "standard", "strict", "loose"])
def test_the_shipped_scoring_judges_as_we_do(
    match: MatchMode, planted: Path, tmp_path: Path
) -> None:
    shipped = scoring(export(planted, tmp_path / "t", match=match, limit=1))
    lines = [json.loads(line) for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    hits = 0
    for each in lines:
        doc = {"objects": each["objects"], "subject": each["subject"], "domain": "out"}
        answer = cut_answer(each["continuation"])
        expected = matcher(match, each["objects"], each["subject"]).hit(answer)
        found = shipped.process_results(doc, [each["continuation"]])
        assert found == {
            "hit": float(expected),
            "hit_out": float(expected),
            "exact": float(exact(answer, each["objects"])),
            "f1": token_f1(answer, each["objects"]),
        }
        hits += expected
    assert 0 < hits < len(lines)


def test_the_shipped_scoring_needs_no_sixtyfold(planted: Path, tmp_path: Path) -> None:
    task = export(planted, tmp_path / "t", limit=1)
    program = (
        "import sys; sys.modules['sixtyfold'] = None; sys.path.insert(0, sys.argv[1]);"
        "import utils;"
        "doc = {'objects': ['Niger'], 'subject': 'Niamey', 'domain': 'in'};"
        "print([utils.process_results(doc, [t])['hit'] for t in (' Niger.', ' Nigeria')])"
    )
    command = [sys.executable, "-S", "-c", program, str(task)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[1.0, 0.0]"


def test_the_task_is_greedy_and_names_its_measures(planted: Path, tmp_path: Path) -> None:
    task = export(planted, tmp_path / "t", name="my_task", max_new_tokens=7)
    text = (task / "my_task.yaml").read_text(encoding="utf-8")
    plain = yaml.safe_load(text.replace("!function ", ""))
    assert plain["task"] == "my_task"
    assert plain["generation_kwargs"] == {"until": [], "do_sample": False, "max_gen_toks": 7}
    names = [each["metric"] for each in plain["metric_list"]]
    assert names == ["hit", "hit_in", "hit_out", "exact", "f1"]
    assert "--include_path DIRECTORY --tasks my_task" in (task / "README.md").read_text()


def test_the_chat_form_writes_the_template_out(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match="--prompt-form chat was given and the tokenizer has no"):
        export(planted, tmp_path / "no", model=str(planted), prompt_form="chat")
    from sixtyfold.core import models
    from sixtyfold.workflows import export as export_module

    tokenizer = models.load_tokenizer(planted)
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    )
    monkeypatch.setattr(export_module, "load_tokenizer", lambda _: tokenizer)
    options = {"model": str(planted), "prompt_form": "chat", "system_prompt": "Be brief."}
    task = export(planted, tmp_path / "t", limit=1, shots=1, **options)
    (row,) = documents(task)
    lines = row["prompt"].split("\n")
    assert lines[0] == "<system>Be brief."
    assert [line.split(">")[0] for line in lines[1:]] == [
        "<user",
        "<assistant",
        "<user",
        "<assistant",
    ]
    assert lines[3] == f"<user>{row['question']}"
    assert row["prompt"].endswith("<assistant>")
    assert "add_bos_token=False" in (task / "README.md").read_text()


def test_names_that_lm_eval_could_not_take_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="option 'name' was given 'a b'"):
        ExportLmEvalSpec.parse({"out": tmp_path, "name": "a b"})


def test_the_command_and_its_plan(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "lm-eval", "--facts", str(planted), "--out", str(tmp_path / "t")]
    assert run_command([*arguments, "--plan", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "t").exists()
    assert planned == plan(ExportLmEvalSpec(facts=str(planted), out=tmp_path / "t"))
    assert run_command([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"] == {"questions": planned["questions"]}
    assert result["command"].startswith("lm_eval --model hf ")
    assert run_command(arguments) == 0
    assert "run it with: lm_eval --model hf " in capsys.readouterr().out
