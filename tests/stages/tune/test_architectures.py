"""Two steps on a tiny model of every architecture, saved and opened as anybody would."""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.tune.run import run
from sixtyfold.stages.tune.spec import TuneSpec
from tiny_models import ARCHITECTURES, tiny_model, with_bos


def tune(model: Path, selected: Path, out: Path, **options: Any) -> Finished:
    settings = {"batch": 16, "max_steps": 2, "dtype": "float32", **options}
    return run(TuneSpec(model=str(model), selection=selected, out=out, **settings))


def opens_with_the_logits_it_was_saved_with(
    done: Finished, kept: list[torch.Tensor], ids: torch.Tensor
) -> None:
    model = AutoModelForCausalLM.from_pretrained(done.path).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, kept[0], rtol=0, atol=0)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("bos", [True, False], ids=["bos", "no-bos"])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_it_trains_learns_to_stop_and_opens_again(
    kind: str,
    tied: bool,
    bos: bool,
    planted_tokenizer: Any,
    selected: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sixtyfold.stages.tune import run as tune_run

    tokenizer = with_bos(planted_tokenizer) if bos else planted_tokenizer
    model = tiny_model(kind, tmp_path / "model", tokenizer, tied=tied)
    ids = torch.tensor([[5, 9, 11, 3]])
    kept: list[torch.Tensor] = []
    save = tune_run.save_checkpoint

    def note(trained: Any, *rest: Any) -> None:
        with torch.no_grad():
            kept.append(trained.eval()(input_ids=ids).logits)
        save(trained, *rest)

    monkeypatch.setattr(tune_run, "save_checkpoint", note)
    done = tune(model, selected, tmp_path / "tuned")
    record = done.json("training")
    assert len(record["losses"]) == 2
    assert all(math.isfinite(loss) for loss in record["losses"])
    opens_with_the_logits_it_was_saved_with(done, kept, ids)
    before = AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        assert not torch.equal(before(input_ids=ids).logits, kept[0])
    again = AutoTokenizer.from_pretrained(done.path)
    assert again.pad_token_id == again.eos_token_id == tokenizer.eos_token_id
    rows = finished(selected).table("selection")
    answers = [
        len(tokenizer(each, add_special_tokens=False)["input_ids"]) for each in rows["completion"]
    ]
    by_fact = dict(zip(rows["fact_id"], answers, strict=True))
    seen = chain.from_iterable(record["examples_of_steps"])
    assert record["target_tokens"] == sum(by_fact[each] + 1 for each in seen)  # each with its end


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_lora_trains_and_is_merged(
    kind: str, planted_tokenizer: Any, selected: Path, tmp_path: Path
) -> None:
    model = tiny_model(kind, tmp_path / "model", planted_tokenizer)
    done = tune(model, selected, tmp_path / "tuned", lora_rank=2, learning_rate=1e-2)
    before = AutoModelForCausalLM.from_pretrained(model).state_dict()
    after = AutoModelForCausalLM.from_pretrained(done.path).state_dict()
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any("embed" in name or "wte" in name or "norm" in name for name in moved)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_end_is_learned_though_it_also_pads(
    kind: str, planted_tokenizer: Any, selected: Path, tmp_path: Path
) -> None:
    """After many steps the end token follows every answer."""
    assert planted_tokenizer.pad_token_id == planted_tokenizer.eos_token_id
    model = tiny_model(kind, tmp_path / "model", planted_tokenizer)
    done = tune(model, selected, tmp_path / "t", learning_rate=1e-2, max_steps=60)
    rows: pl.DataFrame = finished(selected).table("selection")
    tuned = AutoModelForCausalLM.from_pretrained(done.path).eval()
    ended = 0
    for prompt, answer in zip(rows["prompt"], rows["completion"], strict=True):
        ids = torch.tensor([planted_tokenizer(prompt + answer)["input_ids"]])
        with torch.no_grad():
            ended += int(
                tuned(input_ids=ids).logits[0, -1].argmax() == planted_tokenizer.eos_token_id
            )
    assert ended / rows.height > 0.9
