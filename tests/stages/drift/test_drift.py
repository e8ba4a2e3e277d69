from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sixtyfold.core.errors import BadInput
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.drift.run import best_templates, run
from sixtyfold.stages.drift.spec import DriftSpec
from tiny_models import tiny_model

MEASURES = ("kl_top10", "kl_tuned_base", "kl_base_tuned", "js")


def drift(planted: Path, tuned: Path, out: Path, **options: Any) -> Finished:
    settings = {"dtype": "float32", **options}
    return run(
        DriftSpec(base=str(planted), tuned=str(tuned), facts=str(planted), out=out, **settings)
    )


def test_tuning_moves_the_first_token_to_the_answer(
    planted: Path, tuned: Path, probed: Path, tmp_path: Path
) -> None:
    done = drift(planted, tuned, tmp_path / "d", probe=probed)
    rows = done.table("drift")
    known = finished(probed).table("probe").filter(level=4)["fact_id"]
    test = finished(planted).table("facts").filter(split="test")["fact_id"]
    assert set(rows["fact_id"]) == set(known) & set(test)
    assert rows["fact_id"].is_sorted()
    for name in MEASURES:
        assert rows[name].is_finite().all()
        assert (rows[name] >= 0).all()
    assert (rows["js"] <= np.log(2)).all()
    assert rows["base_mass_top10"].is_between(0, 1).all()
    inside = rows.filter(domain="in")
    assert inside["answer_logp_tuned"].mean() > inside["answer_logp_base"].mean() + 1
    assert len(done.manifest["assumptions"]) == 3


def test_a_model_has_not_drifted_from_itself(planted: Path, tmp_path: Path) -> None:
    rows = drift(planted, planted, tmp_path / "d").table("drift")
    assert rows.height == finished(planted).table("facts").filter(split="test").height
    for name in ("kl_tuned_base", "kl_base_tuned", "js"):
        assert rows[name].abs().max() < 1e-9
    assert (rows["answer_logp_base"] == rows["answer_logp_tuned"]).all()
    assert rows["kl_top10"].mean() > 0.1  # the prompts differ: cloze against question


def test_batch_size_changes_nothing(planted: Path, tuned: Path, tmp_path: Path) -> None:
    large = drift(planted, tuned, tmp_path / "large", batch=200).table("drift")
    small = drift(planted, tuned, tmp_path / "small", batch=9).table("drift")
    assert_frame_equal(large, small, abs_tol=1e-4)


def test_the_base_gets_the_template_it_knows_best() -> None:
    facts = pl.DataFrame({"fact_id": ["a", "b"], "relation": ["r", "r"]})
    prompts = pl.DataFrame(
        {
            "fact_id": ["a", "b", "a", "b", "c"],
            "template_id": [0, 0, 1, 1, 0],
            "recall_hat": [0.2, 0.4, 0.9, 0.1, 1.0],
        }
    )
    templates = pl.DataFrame(
        {"relation": ["r", "r"], "template_id": [0, 1], "text": ["first", "second"]}
    )
    assert best_templates(facts, prompts, templates) == {"r": "second"}
    even = prompts.with_columns(recall_hat=pl.lit(0.5))
    assert best_templates(facts, even, templates) == {"r": "first"}


def test_models_of_two_vocabularies_are_refused(
    planted: Path, planted_tokenizer: Any, tmp_path: Path
) -> None:
    larger = deepcopy(planted_tokenizer)
    larger.add_tokens(["<new>"])
    other = tiny_model("llama", tmp_path / "larger", larger)
    size = len(planted_tokenizer)
    with pytest.raises(BadInput, match=rf"base has {size} tokens, tuned has {size + 1}"):
        drift(planted, other, tmp_path / "d")


def test_without_known_facts_there_is_nothing_to_measure(
    planted: Path, tuned: Path, probed: Path, tmp_path: Path
) -> None:
    from sixtyfold.core.stage import open_stage
    from sixtyfold.stages.probe.spec import ProbeSpec

    rows = finished(probed).table("probe").with_columns(level=pl.lit(0, pl.Int8))
    with open_stage("probe", ProbeSpec(out=tmp_path / "p"), {}) as stage:
        stage.write_table("probe", rows)
        stage.write_table("probe_prompts", finished(probed).table("probe_prompts"))
        stage.finish({"probe": rows.height})
    with pytest.raises(BadInput, match="no level-4 fact in split test"):
        drift(planted, tuned, tmp_path / "d", probe=tmp_path / "p")
