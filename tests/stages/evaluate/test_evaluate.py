from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sixtyfold.core.errors import BadInput, IncompleteInput
from sixtyfold.core.models import ModelOptions
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.stage import Finished, finished
from sixtyfold.engines.greedy import Answered
from sixtyfold.engines.torch_engine import TorchEngine
from sixtyfold.stages.evaluate import answer as answer_module
from sixtyfold.stages.evaluate import run as evaluate_run
from sixtyfold.stages.evaluate.answer import answer_chunk, answer_facts
from sixtyfold.stages.evaluate.run import run
from sixtyfold.stages.evaluate.spec import EvaluateSpec


def evaluate(model: Path, planted: Path, out: Path, **options: Any) -> Finished:
    settings = {"dtype": "float32", "max_new_tokens": 8, **options}
    return run(EvaluateSpec(model=str(model), facts=str(planted), out=out, **settings))


@pytest.mark.parametrize(
    ("text", "judged"),
    [
        (" Port Halden", (True, True, 1.0)),
        ("\n port halden.\nAnd more: Niger", (True, True, 1.0)),
        (" in Port Halden", (True, False, 0.8)),
        (" Halden", (True, True, 1.0)),
        (" Port Haldens", (False, False, 0.5)),
        (" Niger\nPort Halden", (False, False, 0.0)),
        ("", (False, False, 0.0)),
    ],
)
def test_hand_made_answers_are_judged(
    planted: Path, text: str, judged: tuple[bool, bool, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TorchEngine.load(str(planted), ModelOptions(dtype="float32"))
    fact = (
        finished(planted)
        .table("facts")
        .head(1)
        .with_columns(
            objects=pl.lit(["Port Halden", "Halden"]),
            subject=pl.lit("Ada"),
            level=pl.lit(2, pl.Int8),
        )
    )
    given = [Answered(engine.tokenizer(text)["input_ids"], stopped=True)]
    monkeypatch.setattr(answer_module, "greedy", lambda *_: given)
    row = answer_chunk(engine, fact, [[5, 6]], "standard", 8).row(0, named=True)
    assert (row["hit"], row["exact"]) == judged[:2]
    assert row["f1"] == pytest.approx(judged[2])
    assert row["answer"] == text.strip().split("\n")[0]
    assert row["prompt"] == engine.tokenizer.decode([5, 6])
    assert (row["ended"], row["level"]) == (True, 2)


def test_the_tuned_model_answers_better(planted: Path, tuned: Path, tmp_path: Path) -> None:
    base = evaluate(planted, planted, tmp_path / "base").table("answers")
    after = evaluate(tuned, planted, tmp_path / "tuned").table("answers")
    assert after["fact_id"].equals(base["fact_id"])
    inside = (pl.col("domain") == "in").alias("inside")
    seen = finished(planted).table("exposures")
    known = after.join(seen, on="fact_id").filter(inside & (pl.col("times_seen") >= 10))
    assert known["hit"].mean() > base["hit"].mean() + 0.3
    assert after["ended"].mean() > 0.9


def test_levels_come_from_the_probe(planted: Path, probed: Path, tmp_path: Path) -> None:
    rows = evaluate(planted, planted, tmp_path / "e", probe=probed, limit=20).table("answers")
    levels = finished(probed).table("probe").select("fact_id", probed_level="level")
    joined = rows.join(levels, on="fact_id")
    assert joined.height == rows.height == 20
    assert (joined["level"] == joined["probed_level"]).all()
    plain = evaluate(planted, planted, tmp_path / "p", limit=20).table("answers")
    assert plain["level"].null_count() == 20
    assert_frame_equal(plain.drop("level"), rows.drop("level"))


def test_batch_size_changes_no_answer(planted: Path, tuned: Path, tmp_path: Path) -> None:
    fitting = evaluate(tuned, planted, tmp_path / "fitting").table("answers")
    small = evaluate(tuned, planted, tmp_path / "small", batch=7).table("answers")
    assert_frame_equal(fitting, small)


def test_a_killed_evaluation_continues_to_the_same_bytes(
    planted: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(tuned, planted, tmp_path / "whole", batch=20)
    answer, calls = evaluate_run.answer_chunk, []

    def killed_at_the_third(*arguments: Any) -> pl.DataFrame:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate_run, "answer_chunk", killed_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            evaluate(tuned, planted, tmp_path / "killed", batch=20)
    with pytest.raises(IncompleteInput, match="an unfinished run"):
        finished(tmp_path / "killed", "evaluate")
    again = evaluate(tuned, planted, tmp_path / "killed", batch=20)
    assert (whole.path / "answers.parquet").read_bytes() == (
        again.path / "answers.parquet"
    ).read_bytes()
    assert whole.fingerprint == again.fingerprint


def test_shots_stand_in_front_of_the_question(planted: Path, tmp_path: Path) -> None:
    rows = evaluate(planted, planted, tmp_path / "e", shots=3, limit=6).table("answers")
    facts = finished(planted).table("facts")
    training = set(facts.filter(split="train")["question"])
    for row in rows.iter_rows(named=True):
        *shown, asked = row["prompt"].split("\n\n")
        assert len(shown) == 3
        assert all(each.split("\n")[0].removeprefix("Question: ") in training for each in shown)
        assert asked.endswith("\nAnswer:")


def test_other_prompt_forms(planted: Path, tmp_path: Path) -> None:
    rows = evaluate(planted, planted, tmp_path / "e", limit=2, prompt_form="papers").table(
        "answers"
    )
    assert rows["prompt"].str.starts_with("<|question|> ").all()
    with pytest.raises(BadInput, match="--prompt-form chat was given and the tokenizer has no"):
        evaluate(planted, planted, tmp_path / "c", limit=2, prompt_form="chat")


def test_answering_without_a_stage_gives_the_same(
    planted: Path, tuned: Path, tmp_path: Path
) -> None:
    stored = evaluate(tuned, planted, tmp_path / "e", split="dev").table("answers")
    engine = TorchEngine.load(str(tuned), ModelOptions(dtype="float32"))
    facts = (
        finished(planted)
        .table("facts")
        .filter(split="dev")
        .with_columns(level=pl.lit(None, pl.Int8))
    )
    assert_frame_equal(answer_facts(engine, facts, PromptOptions(), max_new_tokens=8), stored)


def test_an_empty_split_is_named(planted: Path, tmp_path: Path) -> None:
    facts = finished(planted).table("facts").filter(split="train")
    with pytest.raises(BadInput, match="--split test holds no fact; splits here: train"):
        evaluate_run.asked(facts, EvaluateSpec(out=tmp_path))


def test_the_most_common_answer_stands_beside_it(planted: Path, tmp_path: Path) -> None:
    done = evaluate(planted, planted, tmp_path / "answers", limit=40)
    facts = finished(planted).table("facts").with_columns(first=pl.col("objects").list.first())
    asked = facts.join(done.table("answers").select("fact_id"), on="fact_id", how="semi")
    assert sorted(done.manifest["majority"]) == sorted(asked["domain"].unique())
    for domain, found in done.manifest["majority"].items():
        shares = []
        for _, rows in asked.filter(domain=domain).group_by("relation"):
            trained = facts.filter(relation=rows["relation"][0], split="train")
            known = trained if trained.height else rows
            times = known["first"].value_counts().sort(["count", "first"], descending=[True, False])
            shares.append(rows["objects"].list.contains(times["first"][0]).mean())
        assert found["value"] == pytest.approx(sum(shares) / len(shares), abs=1e-6)
        assert found["n"] == asked.filter(domain=domain).height


def test_a_training_set_is_asked_its_own_facts(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    options = {"selection": selected, "split": "train"}
    done = evaluate(planted, planted, tmp_path / "own", **options)
    chosen = finished(selected, "select").table("selection")
    assert sorted(done.table("answers")["fact_id"]) == sorted(chosen["fact_id"])
    assert set(done.table("answers")["split"]) == {"train"}
    assert done.manifest["inputs"]["selection"] == finished(selected).fingerprint


def test_a_training_set_of_other_facts_is_refused(
    planted: Path, selected: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="give --split train"):
        EvaluateSpec(selection=selected, out=tmp_path / "x")
    table = tmp_path / "other.csv"
    table.write_text("question,answer,split\nWho is it?,Nobody,train\n")
    options = {"selection": selected, "split": "train"}
    with pytest.raises(BadInput, match="holds 32 facts and 0 of them are training facts"):
        evaluate(planted, table, tmp_path / "x", **options)
