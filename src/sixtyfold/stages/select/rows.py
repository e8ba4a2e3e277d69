"""A training set as tables and files: prompt and completion, for our trainer and others."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from sixtyfold.core.atomic_files import write_atomic
from sixtyfold.core.prompts import answer_lead, messages_of, question_text
from sixtyfold.core.stage import StageDirectory
from sixtyfold.stages.select.spec import SelectSpec


def training_rows(chosen: pl.DataFrame, spec: SelectSpec) -> pl.DataFrame:
    """Return the chosen facts in prompt/completion form, in training order.

    In the chat form the prompt is the bare question; the tokenizer's template is put around it
    when it is tokenised.
    """
    chat = spec.prompt_form == "chat"
    questions = chosen["question"].to_list()
    return pl.DataFrame(
        {
            "order": pl.Series(range(chosen.height), dtype=pl.Int32),
            "fact_id": chosen["fact_id"],
            "level": chosen["level"],
            "relation": chosen["relation"],
            "question": chosen["question"],
            "prompt": questions if chat else [question_text(spec, each) for each in questions],
            "completion": [answer_lead(spec) + answer for answer in taught_answers(chosen, spec)],
        }
    )


def taught_answers(chosen: pl.DataFrame, spec: SelectSpec) -> list[str]:
    """Return what each example teaches: its first answer, or that it is not known."""
    columns = zip(chosen["level"], chosen["objects"].list.first(), strict=True)
    if spec.unknown_answer is None:
        return [answer for _, answer in columns]
    return [spec.unknown_answer if level == 0 else answer for level, answer in columns]


def write_files(stage: StageDirectory, rows: pl.DataFrame, spec: SelectSpec) -> None:
    """Write the training set for other trainers.

    `selection.jsonl` holds prompt, completion and fact_id. In the chat form prompt and completion
    are lists of messages, as TRL takes them, and `messages.jsonl` holds each example as one
    conversation. `dataset_info.json` is LLaMA-Factory's description of the folder.
    """
    records = [_record(row, spec) for row in rows.iter_rows(named=True)]
    _write_lines(stage, "selection.jsonl", records)
    described: dict[str, Any] = {
        "file_name": "selection.jsonl",
        "columns": {"prompt": "prompt", "response": "completion"},
    }
    if spec.prompt_form == "chat":
        whole = [
            {"messages": each["prompt"] + each["completion"], "fact_id": each["fact_id"]}
            for each in records
        ]
        _write_lines(stage, "messages.jsonl", whole)
        tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user"}
        described = {
            "file_name": "messages.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": {**tags, "assistant_tag": "assistant", "system_tag": "system"},
        }
    stage.write_json("dataset_info", {"sixtyfold": described})


def _record(row: dict[str, Any], spec: SelectSpec) -> dict[str, Any]:
    if spec.prompt_form != "chat":
        return {name: row[name] for name in ("fact_id", "prompt", "completion")}
    return {
        "fact_id": row["fact_id"],
        "prompt": messages_of(spec, row["question"]),
        "completion": [{"role": "assistant", "content": row["completion"]}],
    }


def _write_lines(stage: StageDirectory, name: str, records: list[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in records)
    write_atomic(stage.path / name, lambda path: path.write_text(lines, encoding="utf-8"))
