"""Search on models that transformers cannot load as they are: pickles, adapters that add tokens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from sixtyfold.cli import run_command
from sixtyfold.core.checkpoint import open_checkpoint
from sixtyfold.core.errors import BadInput
from sixtyfold.core.loadable import loadable
from sixtyfold.core.models import load_tokenizer
from sixtyfold.workflows.search import search
from sixtyfold.workflows.search_spec import SearchSpec


def spec(base: Path, tuned: Path, facts: Path, out: Path, **changed: Any) -> SearchSpec:
    options: dict[str, Any] = {
        "base": str(base), "tuned": str(tuned), "facts": str(facts), "out": out,
        "families": ("relative", "interpolation"), "top": (20.0, 60.0), "halvings": 1,
        "limit": 40, "test_limit": 40, "dtype": "float32",
    }  # fmt: skip
    return SearchSpec.parse({**options, **changed})


def pickled(model: Path, folder: Path) -> Path:
    """Copy a model with its weights as a pickle."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors", "plan.json"))
    torch.save(load_file(model / "model.safetensors"), folder / "pytorch_model.bin")
    return folder


def test_pickles_are_searched_like_safetensors(
    planted: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, after = pickled(planted, tmp_path / "b"), pickled(tuned, tmp_path / "t")
    with pytest.raises(BadInput, match="or give --allow-pickle"):
        search(spec(base, after, planted, tmp_path / "refused"))
    found = search(spec(base, after, planted, tmp_path / "p", allow_pickle=True))
    assert "is a pickle file" in capsys.readouterr().err
    expected = search(spec(planted, tuned, planted, tmp_path / "s"))
    for name in ("candidates", "answers", "test_answers"):
        assert found.table(name).equals(expected.table(name))
    one, other = (open_checkpoint(tmp_path / each / "restored").tensors for each in "ps")
    assert all(np.array_equal(each.raw(), other[name].raw()) for name, each in one.items())
    assert not list((tmp_path / "p").glob(".loading"))


def test_the_command_takes_what_its_error_recommends(
    planted: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    after = pickled(tuned, tmp_path / "t")
    words = ["search", "--base", str(planted), "--tuned", str(after), "--facts", str(planted)]
    words += ["--out", str(tmp_path / "o"), "--plan"]
    assert run_command(words) == 2
    assert "or give --allow-pickle" in capsys.readouterr().err
    assert run_command([*words, "--allow-pickle", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test_facts"] > 0


def test_an_adapter_that_adds_tokens_answers_with_its_own_tokenizer(
    planted: Path, tmp_path: Path
) -> None:
    peft = pytest.importorskip("peft")
    model = transformers.AutoModelForCausalLM.from_pretrained(planted)
    tied = model.config.tie_word_embeddings
    model.resize_token_embeddings(model.config.vocab_size + 2)
    tokenizer = load_tokenizer(planted)
    tokenizer.add_tokens(["<new>", "<newer>"])
    torch.manual_seed(0)
    heads = {"modules_to_save": ["embed_tokens"] + ["lm_head"] * (not tied)}
    adapted = peft.get_peft_model(
        model,
        peft.LoraConfig(
            r=2, target_modules=["q_proj"], init_lora_weights=False, ensure_weight_tying=tied,
            **heads,
        ),
    )  # fmt: skip
    adapted.save_pretrained(tmp_path / "a")
    tokenizer.save_pretrained(tmp_path / "a")
    done = search(spec(planted, tmp_path / "a", planted, tmp_path / "o", test=False))
    assert done.table("candidates").height > 1
    assert "<newer>" in load_tokenizer(tmp_path / "o" / "restored").get_vocab()


def test_weights_without_a_configuration_are_told(tmp_path: Path) -> None:
    torch.save({"model.norm.weight": torch.ones(3)}, tmp_path / "run.pt")
    opened = open_checkpoint(tmp_path, allow_pickle=True)
    with pytest.raises(BadInput, match=r"has no config.json"), loadable(opened, tmp_path):
        pass
