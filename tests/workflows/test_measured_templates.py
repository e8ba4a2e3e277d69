"""Verdicts over templates from hand-made recalls, and what a plan counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.templates import template_table
from sixtyfold.workflows.templates import measured, pilot_templates, plan
from sixtyfold.workflows.templates_spec import FactsTemplatesSpec

TEXTS = ["{subject} has the capital", "Its capital: {subject}", "Has {subject} the capital"]


def verdicts(recalls: list[list[float]], **more: Any) -> pl.DataFrame:
    """Judge the templates `TEXTS` by one list of recalls over facts for each."""
    rows = [
        {"fact_id": f"f{fact}", "template_id": number, "recall_hat": recall}
        for number, per_fact in enumerate(recalls)
        for fact, recall in enumerate(per_fact)
    ]
    facts = pl.DataFrame({"fact_id": ["f0", "f1", "f2"], "relation": ["capital"] * 3})
    return measured(pl.DataFrame(rows), facts, template_table({"capital": TEXTS}), **more)


def test_a_template_below_a_third_of_the_best_is_weak_and_a_reordered_one_doubled() -> None:
    table = verdicts([[0.6, 0.6, 0.6], [0.1, 0.2, 0.0], [0.6, 0.6, 0.6]])
    assert table["verdict"].to_list() == ["good", "weak", "doubled"]
    assert table["recall"].to_list() == pytest.approx([0.6, 0.1, 0.6])
    assert table["share_of_best"].to_list() == pytest.approx([1, 1 / 6, 1])
    assert table["nearest"].to_list() == pytest.approx([0, 1 / 4, 1])
    assert table["facts"].to_list() == [3, 3, 3]


def test_templates_of_a_relation_the_model_does_not_know_are_not_judged() -> None:
    low = [[0.0, 0.03, 0.0]] * 2 + [[0.0, 0.0, 0.0]]
    assert verdicts(low)["verdict"].to_list() == ["unknown relation"] * 2 + ["doubled"]
    known = [[0.6, 0.6, 0.6]] * 3
    named = verdicts(known, unknown={"capital"})
    assert named["verdict"].to_list() == ["unknown relation"] * 2 + ["doubled"]


def test_a_plan_counts_the_pilot(tmp_path: Path) -> None:
    path = tmp_path / "quiz.csv"
    rows = [f"What is {n}?,{n}{n},train" for n in range(30)]
    path.write_text("\n".join(["question,answer,split", *rows]), encoding="utf-8")
    spec = FactsTemplatesSpec(facts=str(path), out=tmp_path / "m", per_relation=4)
    assert plan(spec) == {"relations": 1, "facts": 4, "prompts": 4 * 21}
    first = plan(spec.model_copy(update={"pilot": 20}))
    assert first["prompts_of_the_pilot"] == 20 * len(pilot_templates()) > 0
    assert first["prompts"] == 4 * 21
    with pytest.raises(BadInput, match="has no dev fact; give --split train or more facts"):
        plan(spec.model_copy(update={"split": "dev"}))
    assert not spec.out.exists()
