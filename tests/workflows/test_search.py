"""Search on the planted model: fair, right, resumable, and test looked at last and once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest
import torch
import transformers

from file_digests import digests
from made_up_checkpoints import float_weights
from sixtyfold.console_search import show_search
from sixtyfold.core.accuracy import accuracy
from sixtyfold.core.checkpoint_pair import open_pair
from sixtyfold.core.models import load_tokenizer
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.compare.comparison import macro_difference
from sixtyfold.stages.compare.transitions import transitions
from sixtyfold.stages.evaluate.run import run as evaluate
from sixtyfold.stages.evaluate.spec import EvaluateSpec
from sixtyfold.stages.restore.alternatives import FAMILIES
from sixtyfold.stages.restore.candidates import SAME_NORM, Candidates
from sixtyfold.stages.restore.names import FamilyName
from sixtyfold.stages.restore.run import run as restore
from sixtyfold.stages.restore.spec import RestoreSpec
from sixtyfold.workflows import search as workflow
from sixtyfold.workflows import search_arms
from sixtyfold.workflows.search import chosen_restore, plan, search
from sixtyfold.workflows.search_candidates import pool
from sixtyfold.workflows.search_model import CandidateModel
from sixtyfold.workflows.search_spec import SearchSpec

TOP = (5.0, 20.0, 60.0)


def spec(planted: Path, tuned: Path, out: Path, **changed: Any) -> SearchSpec:
    options: dict[str, Any] = {
        "base": str(planted),
        "tuned": str(tuned),
        "facts": str(planted),
        "out": out,
        "top": TOP,
        "halvings": 1,
        "checkpoint": False,
        "dtype": "float32",
    }
    return SearchSpec.parse({**options, **changed})


@pytest.fixture(scope="module")
def searched(
    planted: Path, tuned: Path, probed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    out = tmp_path_factory.mktemp("searched") / "search"
    return search(spec(planted, tuned, out, probe=probed))


def small(planted: Path, tuned: Path, out: Path, **changed: Any) -> SearchSpec:
    families = ("relative", "interpolation", "dare")
    return spec(planted, tuned, out, **{"families": families, "top": (20.0, 60.0), **changed})


def test_every_family_has_as_many_candidates_and_facts(searched: Finished) -> None:
    table = searched.table("candidates").filter(pl.col("family") != "tuned")
    assert set(table["family"]) == set(get_args(FamilyName))
    counts = table.group_by("family").agg(
        pl.len(), last=(pl.col("round") == 2).sum(), facts=pl.col("n").sum()
    )
    for name, expected in (("len", 3), ("last", 2)):
        assert counts[name].unique().to_list() == [expected]
    assert counts["facts"].n_unique() == 1


def test_norms_are_those_of_the_relative_rule(searched: Finished) -> None:
    table = searched.table("candidates").filter(pl.col("family") != "tuned")
    wanted = table.filter(pl.col("family") == "relative")["remaining_norm"].to_list()
    lowest = [note for note in searched.manifest["notes"] if "leaves at least" in note]
    for (family,), rows in table.group_by("family"):
        if any(f"'{family}'" in note for note in lowest):
            assert family == "lines"
            continue
        for left, share in zip(rows["remaining_norm"], wanted, strict=True):
            missed = any(f"'{family}' leaves {left:.4f}" in n for n in searched.manifest["notes"])
            assert abs(left / share - 1) <= SAME_NORM or missed


def test_scores_are_those_of_the_answers(searched: Finished) -> None:
    answers, table = searched.table("answers"), searched.table("candidates")
    for row in table.to_dicts():
        own = answers.filter(pl.col("candidate") == row["candidate"])
        assert own["fact_id"].is_unique().all()
        assert own["round"].max() == row["round"]
        found = accuracy(own, "in").macro_relation
        assert found is not None
        assert (row["accuracy"], row["low"], row["high"], row["n"]) == pytest.approx(found)
        known = own.filter(pl.col("level") == 4)
        assert row["level_4"] == pytest.approx(known["hit"].mean())
        assert row["level_4_n"] == known.height


def test_rounds_ask_nested_dev_facts_and_no_test_fact(searched: Finished, planted: Path) -> None:
    facts = finished(planted).table("facts")
    dev = set(facts.filter(pl.col("split") == "dev", pl.col("domain") == "in")["fact_id"])
    answers, table = searched.table("answers"), searched.table("candidates")
    asked = {number: set(rows["fact_id"]) for (number,), rows in answers.group_by("candidate")}
    for row in table.to_dicts():
        expected = dev if row["round"] == 2 else asked[0] - _second_round(answers)
        assert asked[row["candidate"]] == expected
    assert len(dev) == 2 * len(dev - _second_round(answers))


def _second_round(answers: pl.DataFrame) -> set[str]:
    return set(answers.filter(pl.col("round") == 2)["fact_id"])


def test_curve_compares_all_candidates_on_the_same_facts(searched: Finished) -> None:
    curve, answers = searched.table("curve"), searched.table("answers")
    first = answers.filter(pl.col("round") == 1)
    assert curve.height == searched.table("candidates").height
    assert curve["n"].n_unique() == 1
    tuned = first.filter(pl.col("candidate") == 0).drop("candidate", "round")
    for row in curve.to_dicts():
        own = first.filter(pl.col("candidate") == row["candidate"]).drop("candidate", "round")
        over = macro_difference(transitions(tuned, own))
        assert over is not None
        assert row["over_tuned"] == pytest.approx(over.value)
        assert row["over_tuned_low"] == pytest.approx(over.low)


def test_the_chosen_one_is_best_of_the_last_round(searched: Finished) -> None:
    chosen = searched.json("chosen")
    last = searched.table("candidates").filter(pl.col("round") == 2)
    assert chosen["accuracy"] == last["accuracy"].max()
    level = last.filter(pl.col("accuracy") == chosen["accuracy"])
    assert chosen["remaining_norm"] == level["remaining_norm"].max()
    assert chosen["rule"] == "most dev accuracy, mean over relations"
    winners = last.filter("best_of_family")
    assert sorted(winners["family"]) == sorted([*FAMILIES, "tuned"])
    assert chosen["candidate"] in winners["candidate"]


def answered(model: Path, planted: Path, out: Path, split: str) -> pl.DataFrame:
    options = {"model": str(model), "facts": str(planted), "dtype": "float32", "split": split}
    return evaluate(EvaluateSpec.parse({**options, "out": out})).table("answers")


def hits(rows: pl.DataFrame) -> dict[str, bool]:
    return dict(rows.select("fact_id", "hit").iter_rows())


def test_arms_answer_as_the_checkpoints_do(
    searched: Finished, planted: Path, tuned: Path, tmp_path: Path
) -> None:
    answers = searched.table("test_answers")
    fixed = restore(
        RestoreSpec(base=str(planted), tuned=str(tuned), top=20, out=tmp_path / "fixed")
    ).path
    models = {"base": planted, "tuned": tuned, "relative 20% (fixed)": fixed}
    for arm, model in models.items():
        own = answered(model, planted, tmp_path / f"answers-{arm[:5]}", "test")
        assert hits(own) == hits(answers.filter(pl.col("arm") == arm))
    dev = searched.table("answers").filter(pl.col("candidate") == 0)
    again = answered(tuned, planted, tmp_path / "dev", "dev").filter(pl.col("domain") == "in")
    assert hits(again) == hits(dev)


def test_the_test_compares_every_arm_with_tuned_and_interpolation(searched: Finished) -> None:
    table, answers = searched.table("test"), searched.table("test_answers")
    names = ["base", "tuned", "relative 10% (fixed)", "relative 20% (fixed)", *FAMILIES]
    for domain in ("in", "out"):
        assert sorted(table.filter(pl.col("domain") == domain)["arm"]) == sorted(names)
    for row in table.to_dicts():
        own = answers.filter(pl.col("arm") == row["arm"], pl.col("domain") == row["domain"])
        for reference in ("tuned", "interpolation"):
            if row["arm"] == reference:
                assert row[f"{reference}_difference"] is None
                continue
            other = answers.filter(pl.col("arm") == reference, pl.col("domain") == row["domain"])
            found = macro_difference(transitions(other, own))
            assert found is not None
            assert row[f"{reference}_difference"] == pytest.approx(found.value)
            assert row[f"{reference}_p"] == pytest.approx(found.p)
            assert row[f"{reference}_p_holm"] >= found.p


def test_base_answers_worse_and_is_seen_to(searched: Finished) -> None:
    row = (
        searched.table("test")
        .filter(pl.col("arm") == "base", pl.col("domain") == "in")
        .row(0, named=True)
    )
    assert row["tuned_high"] < 0
    assert row["tuned_p"] < 0.05


def test_plan_counts_what_is_done(
    searched: Finished, planted: Path, tuned: Path, probed: Path, tmp_path: Path
) -> None:
    found = plan(spec(planted, tuned, tmp_path / "plan", probe=probed))
    assert not (tmp_path / "plan").exists()
    assert found["answers"] == {
        "dev": searched.manifest["rows"]["answers"],
        "test": searched.manifest["rows"]["test_answers"],
    }
    assert found["candidates"]["in round 1"] == searched.manifest["rows"]["candidates"]
    assert found["candidates"]["in round 2"] == 1 + 2 * len(FAMILIES)
    assert found["estimated_seconds_of_answers"] >= 0


def counted(monkeypatch: pytest.MonkeyPatch, until: int | None = None) -> Counter[str]:
    """Count what is asked; die at a certain one."""
    made = Counter[str]()
    original = CandidateModel.answers

    def counting(self: CandidateModel, candidate: Any, facts: pl.DataFrame) -> pl.DataFrame:
        made["asked"] += 1
        if made["asked"] == until:
            raise KeyboardInterrupt
        return original(self, candidate, facts)

    monkeypatch.setattr(CandidateModel, "answers", counting)
    return made


@pytest.mark.parametrize("at", [1, 8, 13])
def test_killed_and_continued_ends_the_same(
    planted: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    made = counted(monkeypatch)
    whole = search(small(planted, tuned, tmp_path / "whole"))
    monkeypatch.undo()
    counted(monkeypatch, until=at)
    with pytest.raises(KeyboardInterrupt):
        search(small(planted, tuned, tmp_path / "out"))
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.undo()
    again = counted(monkeypatch)
    search(small(planted, tuned, tmp_path / "out"))
    assert again["asked"] == made["asked"] - (at - 1)  # what was answered is not asked again
    assert digests(tmp_path / "out") == digests(whole.path)


def test_test_is_looked_at_after_the_choice_is_written(
    planted: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(search_arms, "ask", stopped)
    with pytest.raises(KeyboardInterrupt):
        search(small(planted, tuned, tmp_path / "out"))
    before = (tmp_path / "out" / "chosen.json").read_bytes()
    monkeypatch.undo()
    search(small(planted, tuned, tmp_path / "out"))
    assert (tmp_path / "out" / "chosen.json").read_bytes() == before


def test_without_a_test_no_test_fact_is_asked(planted: Path, tuned: Path, tmp_path: Path) -> None:
    done = search(small(planted, tuned, tmp_path / "out", test=False))
    assert set(done.manifest["rows"]) == {"candidates", "curve", "answers"}
    assert set(done.table("answers")["split"]) == {"dev"}


def test_knowledge_and_its_bound_choose_by_level_4(
    planted: Path, tuned: Path, probed: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"probe": probed, "test": False, "halvings": 0}
    done = search(small(planted, tuned, tmp_path / "k", objective="knowledge", **options))
    table = done.table("candidates")
    assert done.json("chosen")["level_4"] == table["level_4"].max()
    bound = search(small(planted, tuned, tmp_path / "b", lose_at_most=0, **options))
    chosen = bound.json("chosen")
    assert chosen["lost_points"] == 0
    allowed = bound.table("candidates").filter(pl.col("lost_points") == 0)
    assert chosen["accuracy"] == allowed["accuracy"].max()
    assert chosen["rule"].endswith("with at most 0 points lost on level 4")


def test_an_adapter_is_searched_like_the_model_it_makes(planted: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    model = transformers.AutoModelForCausalLM.from_pretrained(planted)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    load_tokenizer(planted).save_pretrained(tmp_path / "merged")
    found = [
        search(small(planted, tmp_path / name, tmp_path / f"out-{name}", test=False))
        for name in ("adapter", "merged")
    ]
    one, other = (each.table("candidates") for each in found)
    np.testing.assert_allclose(one["remaining_norm"], other["remaining_norm"], rtol=1e-3)
    assert one["accuracy"].to_list() == other["accuracy"].to_list()


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_restore_writes_is_what_was_judged(
    planted: Path, tuned: Path, tmp_path: Path, family: str
) -> None:
    wanted = spec(planted, tuned, tmp_path / "out", families=(family,), seed=5)
    candidates = Candidates(open_pair(planted, tuned), seed=5)
    listed = pool(candidates, wanted).listed[2]
    models = {"base": str(planted), "tuned": str(tuned), "out": tmp_path / "made"}
    made = restore(RestoreSpec.parse({**models, **workflow.restore_options(listed, wanted)}))
    found = float_weights(made.path)
    for name, weights in candidates.tensors(listed.candidate):
        assert found[name].tobytes() == weights.tobytes()


def test_the_chosen_repair_is_written_as_a_checkpoint(
    planted: Path, tuned: Path, tmp_path: Path
) -> None:
    wanted = small(planted, tuned, tmp_path / "out", families=("relative",), test=False)
    done = search(wanted.model_copy(update={"checkpoint": True}))
    written = finished(done.path / "restored", "restore")
    again = chosen_restore(done.path, str(planted), str(tuned), done.path / "restored")
    assert written.manifest["spec"] == again.recorded()
    # the same search without a checkpoint is the same result
    assert search(wanted).manifest == done.manifest


def test_console_says_what_was_chosen_and_how_sure_that_is(
    searched: Finished, planted: Path, tuned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = spec(planted, tuned, searched.path)
    value = show_search(searched, given, silent=False)
    printed = capsys.readouterr().out
    for words in (
        *("breadcrumbs-model", "update left", "over tuned", "over interpolation", "could see"),
        *("relative 20% (fixed)", "no repair is better on dev than the tuned model"),
        *("than the best interpolation", "'lines' leaves at least"),
    ):
        assert words in printed
    assert printed.splitlines()[-1] == f"result: {searched.path}"
    assert value["chosen"] == searched.json("chosen")
    assert len(value["test"]) == searched.table("test").height
    assert show_search(searched, given, silent=True) == value
    assert capsys.readouterr().out == ""
