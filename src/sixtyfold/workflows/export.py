"""Export: the questions of a split as a task directory of lm-eval.

What the model reads is written out question by question, worked examples and chat template
included, so that lm-eval adds nothing of its own. What counts as right is our own matching, whose
source is written beside the task (`lm_eval_task.py`).
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.models import load_tokenizer, model_directory, model_fingerprint
from sixtyfold.core.prompts import Shot, chat_text, question_text
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.sources.open import FactSet, open_facts
from sixtyfold.stages.evaluate.run import asked
from sixtyfold.stages.evaluate.shots import shots_by_relation
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.workflows.export_spec import ExportLmEvalSpec
from sixtyfold.workflows.lm_eval_task import command_line, readme, scoring_code, task_yaml


def run(spec: ExportLmEvalSpec) -> Finished:
    """Write a task directory: NAME.yaml, NAME.jsonl, utils.py, README.md.

    Returns:
        the stage; `command` in its manifest is the lm-eval command that runs the task.

    Raises:
        BadInput: the split holds no fact, there are too few training facts to show, or the chat
            form is asked of a tokenizer without a template.
    """
    source = open_facts(spec.facts)
    facts = asked(source.facts, _evaluate_spec(spec))
    inputs = {"facts": source.fingerprint}
    if spec.prompt_form == "chat":
        directory = model_directory(spec.model, spec.revision)
        inputs["model"] = model_fingerprint(directory)
    with open_stage("export-lm-eval", spec, inputs) as stage:
        if stage.complete:
            return finished(spec.out, "export-lm-eval")
        rows = _documents(facts, source, spec)
        files = {
            f"{spec.task}.jsonl": "".join(
                json.dumps(row, ensure_ascii=False) + "\n" for row in rows
            ),
            f"{spec.task}.yaml": task_yaml(spec, sorted(set(facts["domain"]))),
            "utils.py": scoring_code(spec),
            "README.md": readme(spec, len(rows)),
        }
        for name, text in files.items():
            _write(spec, name, text)
        command = command_line(spec)
        notes = [*source.notes, f"run it with: {command}"]
        return stage.finish({"questions": len(rows)}, command=command, notes=notes)


def plan(spec: ExportLmEvalSpec) -> dict[str, Any]:
    """Return what a run would write, without doing it; raises what `run` raises."""
    source = open_facts(spec.facts)
    rows = _documents(asked(source.facts, _evaluate_spec(spec)), source, spec)
    return {
        "task": spec.task,
        "questions": len(rows),
        "prompt_characters": sum(len(row["prompt"]) for row in rows),
    }


def _evaluate_spec(spec: ExportLmEvalSpec) -> EvaluateSpec:
    """Return the options of the evaluation that the task stands for."""
    names = set(EvaluateSpec.model_fields) & set(type(spec).model_fields)
    return EvaluateSpec(**{name: getattr(spec, name) for name in names})


def _documents(
    facts: pl.DataFrame, source: FactSet, spec: ExportLmEvalSpec
) -> list[dict[str, Any]]:
    shots = shots_by_relation(source.facts, spec.shots, spec.seed)
    tokenizer = None
    if spec.prompt_form == "chat":
        tokenizer = load_tokenizer(model_directory(spec.model, spec.revision))
    columns = ("fact_id", "relation", "domain", "split", "subject", "objects", "question")
    return [
        {**fact, "prompt": _prompt(tokenizer, spec, fact["question"], shots[fact["relation"]])}
        for fact in facts.select(columns).iter_rows(named=True)
    ]


def _prompt(tokenizer: Any, spec: ExportLmEvalSpec, question: str, shots: list[Shot]) -> str:
    if tokenizer is None:
        return question_text(spec, question, shots)
    return chat_text(tokenizer, spec, question, shots)


def _write(spec: ExportLmEvalSpec, name: str, text: str) -> None:
    write_atomic(spec.out / name, lambda path: path.write_text(text, encoding="utf-8"))
