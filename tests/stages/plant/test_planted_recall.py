"""Recall follows exposure, whatever the model and however facts are told."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sixtyfold.core.models import ModelOptions
from sixtyfold.core.stage import finished
from sixtyfold.engines.first_line import cut_answer
from sixtyfold.engines.greedy import greedy
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.stages.plant.architectures import ARCHITECTURES
from sixtyfold.stages.plant.run import run
from sixtyfold.stages.plant.spec import PlantSpec

QUICK: dict[str, Any] = {
    "subjects": 30, "relations": 2, "exposures": (0, 3, 30), "passes": 6, "learning_rate": 2e-3,
}  # fmt: skip
KINDS = [
    *((architecture, "sentences") for architecture in ARCHITECTURES),
    ("gpt_neox", "biographies"),
]


def recall_by_exposure(planted: Path) -> dict[int, float]:
    """Share of (fact, template) answered greedily, by how often the fact was seen in a pass."""
    stage = finished(planted, "plant")
    asked = (
        stage.table("facts").join(stage.table("exposures"), on="fact_id")
        .join(stage.table("templates"), on="relation")
    )  # fmt: skip
    engine = TorchEngine.load(str(planted), ModelOptions(dtype="float32", device="cpu"))
    texts = [row["text"].format(subject=row["subject"]) for row in asked.iter_rows(named=True)]
    answers = greedy(engine, [engine.tokenizer(each)["input_ids"] for each in texts], 6)
    hits = [
        cut_answer(engine.text(answer.ids)).startswith(objects[0])
        for answer, objects in zip(answers, asked["objects"], strict=True)
    ]
    by_times = asked.with_columns(hit=pl.Series(hits)).group_by("times_seen").agg(pl.mean("hit"))
    return dict(by_times.sort("times_seen").iter_rows())


@pytest.mark.parametrize(("architecture", "corpus"), KINDS, ids=["-".join(kind) for kind in KINDS])
def test_recall_follows_exposure(architecture: str, corpus: str, tmp_path: Path) -> None:
    spec = PlantSpec(out=tmp_path / "m", architecture=architecture, corpus=corpus, **QUICK)
    planted = run(spec).path
    recall = recall_by_exposure(planted)
    print(recall)
    assert recall[0] < 0.3  # one of six objects is a guess
    assert recall[0] + 0.1 < recall[3] < recall[30] + 0.05
    assert recall[30] > recall[0] + 0.3
    model = AutoModelForCausalLM.from_pretrained(planted)
    assert model.config.model_type == architecture
    ids = AutoTokenizer.from_pretrained(planted)("It is known that", return_tensors="pt").input_ids
    with torch.no_grad():
        assert bool(model(input_ids=ids).logits.isfinite().all())


def test_a_fact_told_in_one_form_is_not_known_in_the_others(tmp_path: Path) -> None:
    options = {**QUICK, "exposures": (0, 30)}
    known = {
        forms: recall_by_exposure(
            run(PlantSpec(out=tmp_path / str(forms), forms=forms, **options)).path
        )
        for forms in (1, 6)
    }
    assert known[1][0] < 0.3
    assert known[1][0] + 0.15 < known[1][30] < known[6][30] - 0.2


def test_recall_climbs_a_ladder_of_exposures(tmp_path: Path) -> None:
    ladder = (0, 1, 3, 10, 30, 100)
    options = {**QUICK, "subjects": 60, "exposures": ladder, "passes": 1}
    recall = recall_by_exposure(run(PlantSpec(out=tmp_path / "m", **options)).path)
    print(recall)
    assert tuple(recall) == ladder
    steps = list(itertools.pairwise(recall.values()))
    assert all(fewer < more + 0.03 for fewer, more in steps)
    assert recall[0] < 0.2
    assert 0.3 < recall[10] < 0.95
    assert recall[100] > 0.9
