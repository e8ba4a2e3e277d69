"""The whole path on a tiny random model of every architecture: probe, select, tune, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sixtyfold.core.stage import finished
from sixtyfold.engines.first_line import cut_answer
from sixtyfold.sources.build import build as build_facts
from sixtyfold.sources.spec import FactsBuildSpec
from sixtyfold.stages.evaluate.run import run as evaluate
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.stages.probe.run import run as probe
from sixtyfold.stages.probe.spec import ProbeSpec
from sixtyfold.stages.select.run import run as select
from sixtyfold.stages.select.spec import SelectSpec
from sixtyfold.stages.tune.run import run as tune
from sixtyfold.stages.tune.spec import TuneSpec
from tiny_models import ARCHITECTURES, tiny_model, with_bos

TOKENS = 8
TEMPERATURE = 0.7
NOTICED = 4e-4
"""Chance of a first token above which the estimator looks at it, and has no chance of its own."""
TEMPLATES = ("The firm of {subject} is", "As for {subject}, it was in", "{subject} has a")


@pytest.fixture(params=[True, False], ids=["tied, bos", "untied, no bos"])
def shape(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=ARCHITECTURES)
def model(
    request: pytest.FixtureRequest, shape: bool, planted_tokenizer: Any, tmp_path: Path
) -> Path:
    tokenizer = with_bos(planted_tokenizer) if shape else planted_tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    return tiny_model(request.param, tmp_path / "model", tokenizer, tied=shape)


@pytest.fixture(scope="module")
def facts(planted: Path, planted_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve facts whose answers are one token each, four of them to train on."""
    tokens = [planted_tokenizer.decode([token]) for token in range(len(planted_tokenizer))]
    words = [each.strip() for each in tokens if each.startswith(" ") and each.strip().isalpha()]
    words = sorted({each for each in words if len(each) > 3})[:12]
    subjects = finished(planted).table("facts")["subject"].unique().sort().head(12)
    folder = tmp_path_factory.mktemp("facts")
    rows = [
        {
            "relation": "owner", "subject": subject, "answers": [word], "domain": "in",
            "question": f"Who owns {subject}?", "split": ("train", "dev", "test")[number % 3],
        }
        for number, (subject, word) in enumerate(zip(subjects, words, strict=True))
    ]  # fmt: skip
    table, templates = folder / "facts.jsonl", folder / "templates.yaml"
    table.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    templates.write_text(json.dumps({"owner": list(TEMPLATES)}), encoding="utf-8")
    spec = FactsBuildSpec(facts=f"table:{table}", templates=templates, out=folder / "built")
    return build_facts(spec).path


class Plain:
    """A checkpoint used with transformers alone."""

    def __init__(self, directory: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(directory)
        self.model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()

    @torch.no_grad()
    def chances(self, text: str) -> torch.Tensor:
        """Probabilities of the next token."""
        logits = self.model(torch.tensor([self.tokenizer(text)["input_ids"]])).logits[0, -1]
        return (logits.double() / TEMPERATURE).softmax(-1)

    def says(self, word: str) -> list[int]:
        """Tokens that are this word."""
        return [
            token
            for token in range(len(self.tokenizer))
            if self.tokenizer.decode([token]).strip(" .,").lower() == word.lower()
        ]

    def answer(self, prompt: str) -> str:
        """Greedy answer, its first line."""
        ids = torch.tensor([self.tokenizer(prompt)["input_ids"]])
        whole = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False,
            pad_token_id=self.tokenizer.eos_token_id,
        )  # fmt: skip
        return cut_answer(self.tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True))


def test_probe_select_tune_and_evaluate(model: Path, facts: Path, tmp_path: Path) -> None:
    asked = {row["fact_id"]: row for row in finished(facts).table("facts").iter_rows(named=True)}
    probed = probe(
        ProbeSpec(
            model=str(model), facts=str(facts), out=tmp_path / "probe", dtype="float32",
            max_new_tokens=1, temperature=TEMPERATURE, fresh=True,
        )
    )  # fmt: skip
    plain = Plain(model)
    exact = 0
    for row in probed.table("probe_prompts").iter_rows(named=True):
        fact = asked[row["fact_id"]]
        text = TEMPLATES[row["template_id"]].format(subject=fact["subject"])
        chance = float(plain.chances(text)[plain.says(fact["objects"][0])].sum())
        if chance > NOTICED:
            exact += 1
            assert row["recall_hat"] == pytest.approx(chance, rel=1e-3)
    assert exact > 12

    chosen = select(SelectSpec(facts=str(facts), probe=probed.path, out=tmp_path / "set", size="4"))
    tuned = tune(
        TuneSpec(
            model=str(model), selection=chosen.path, out=tmp_path / "tuned", learning_rate=1e-2,
            batch=4, max_steps=80, dtype="float32",
        )
    )  # fmt: skip
    answers = {}
    for split in ("train", "test"):
        spec = EvaluateSpec(
            model=str(tuned.path), facts=str(facts), out=tmp_path / split, split=split,
            dtype="float32", max_new_tokens=TOKENS,
        )  # fmt: skip
        answers[split] = evaluate(spec).table("answers")
    after = Plain(tuned.path)
    for row in answers["test"].iter_rows(named=True):
        prompt = row["prompt"].removeprefix(after.tokenizer.bos_token or "")
        assert row["answer"] == after.answer(prompt)
    assert answers["train"]["exact"].all()
    assert answers["train"]["ended"].all()
