"""The written files as another trainer reads them: TRL's own preparation gives our ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from transformers import AutoModelForCausalLM
from trl import SFTConfig, SFTTrainer

from sixtyfold.core.prompts import PromptForm, PromptOptions
from sixtyfold.stages.select.run import run
from sixtyfold.stages.select.spec import SelectSpec
from sixtyfold.stages.tune.examples import IGNORED, encode_examples

_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}:\n{{ message['content'] }}\n"
    "{% endfor %}{% if add_generation_prompt %}assistant:\n{% endif %}"
)


def prepared_by_trl(jsonl: Path, planted: Path, tokenizer: Any, scratch: Path) -> list[Any]:
    """Return TRL's rows for a file, given to it as it is."""
    rows = datasets.load_dataset("json", data_files=str(jsonl), split="train")
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(planted),
        args=SFTConfig(
            output_dir=str(scratch), max_length=None, use_cpu=True, bf16=False, report_to=[]
        ),
        train_dataset=rows,
        processing_class=tokenizer,
    )
    return list(trainer.train_dataset)


def learned(row: Any) -> list[int]:
    """Return the ids that TRL learns from."""
    if "labels" in row:
        return [each for each in row["labels"] if each != IGNORED]
    return [i for i, mask in zip(row["input_ids"], row["completion_mask"], strict=True) if mask]


@pytest.mark.parametrize("form", ["plain", "papers", "chat"])
def test_trl_prepares_the_ids_we_train_on(
    planted: Path, probed: Path, planted_tokenizer: Any, tmp_path: Path, form: PromptForm
) -> None:
    tokenizer = planted_tokenizer
    tokenizer.chat_template = _TEMPLATE
    options = PromptOptions(prompt_form=form)
    done = run(
        SelectSpec(
            facts=str(planted), probe=probed, out=tmp_path / "s", size="6", **options.model_dump()
        )
    )
    ours = encode_examples(done.table("selection"), tokenizer, options, 256)
    theirs = prepared_by_trl(done.path / "selection.jsonl", planted, tokenizer, tmp_path / "trl")
    assert len(theirs) == len(ours) == 6
    for row, example in zip(theirs, ours, strict=True):
        answer = [each for each in example.labels if each != IGNORED]
        if form == "chat":  # how a conversation ends is the template's affair
            answer = answer[:-1]
            assert learned(row)[: len(answer)] == answer
            assert row["input_ids"][: len(example.input_ids) - 1] == example.input_ids[:-1]
        else:
            assert row["input_ids"] == example.input_ids
            assert learned(row) == answer
