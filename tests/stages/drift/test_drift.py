from __future__ import annotations

import gc
import json
import shutil
import weakref
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sixtyfold.core.errors import BadInput
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.drift import passes
from sixtyfold.stages.drift.prompts import Prompts, best_templates, fixed_chunks
from sixtyfold.stages.drift.run import plan, run
from sixtyfold.stages.drift.spec import DriftSpec
from sixtyfold.stages.drift.summary import with_changes

MEASURES = ("kl_top10", "kl_tuned_base", "kl_base_tuned", "js")


def drift(planted: Path, tuned: Path, out: Path, **options: Any) -> Finished:
    settings = {"dtype": "float32", "facts": str(planted), **options}
    return run(DriftSpec(base=str(planted), tuned=str(tuned), out=out, **settings))


def test_tuning_moves_the_first_token_to_the_answer(
    planted: Path, tuned: Path, probed: Path, tmp_path: Path
) -> None:
    done = drift(planted, tuned, tmp_path / "d", probe=probed, levels="4")
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
    assert len(done.manifest["assumptions"]) == 6


def test_a_model_has_not_drifted_from_itself(planted: Path, tmp_path: Path) -> None:
    rows = drift(planted, planted, tmp_path / "d").table("drift")
    assert rows.height == finished(planted).table("facts").filter(split="test").height
    for name in ("kl_tuned_base", "kl_base_tuned", "js"):
        assert rows[name].abs().max() < 1e-9
    assert (rows["answer_logp_base"] == rows["answer_logp_tuned"]).all()
    assert rows["kl_top10"].mean() > 0.1  # the prompts differ: cloze against question


def test_facts_without_cloze_templates_are_said(planted: Path, tmp_path: Path) -> None:
    rows = finished(planted).table("facts").head(3).select("question", "relation")
    rows = rows.with_columns(answer=pl.lit("zero"), split=pl.lit("test"))
    rows.write_csv(tmp_path / "own.csv")
    done = drift(planted, planted, tmp_path / "d", facts=str(tmp_path / "own.csv"))
    assert done.manifest["without_cloze"] == sorted(set(rows["relation"]))
    assert drift(planted, planted, tmp_path / "e").manifest["without_cloze"] == []


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


def test_numbers_are_those_of_one_plain_forward_pass(
    planted: Path, tuned: Path, planted_tokenizer: Any, tmp_path: Path
) -> None:
    """Each fact alone, prompt and answer in one call of transformers, nothing of ours."""
    import torch
    from transformers import AutoModelForCausalLM

    done = drift(planted, tuned, tmp_path / "d")
    models = [AutoModelForCausalLM.from_pretrained(each).eval() for each in (planted, tuned)]
    table = finished(planted).table("facts").filter(split="test")
    for fact in table.head(6).iter_rows(named=True):
        prompt = planted_tokenizer(f"Question: {fact['question']}\nAnswer:")["input_ids"]
        answer = planted_tokenizer(f" {fact['objects'][0]}", add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            base, after = (
                model(torch.tensor([prompt + answer])).logits[0].double().log_softmax(-1)
                for model in models
            )
        at = slice(len(prompt) - 1, len(prompt) + len(answer) - 1)
        rows = done.table("drift_positions").filter(fact_id=fact["fact_id"])
        assert rows["token"].to_list() == answer
        kl = (base.exp() * (base - after)).sum(-1)[at]
        assert rows["kl_base_tuned"].to_list() == pytest.approx(kl.tolist(), abs=1e-4)
        said = [float(after[at][i, token]) for i, token in enumerate(answer)]
        assert rows["logp_tuned"].to_list() == pytest.approx(said, abs=1e-4)
        own = done.table("drift").filter(fact_id=fact["fact_id"]).row(0, named=True)
        assert own["whole_logp_tuned"] == pytest.approx(sum(said), abs=1e-4)
        assert own["answer_logp_tuned"] == pytest.approx(said[0], abs=1e-4)
        assert own["answer_tokens"] == len(answer)


def test_summary_splits_by_level_and_holds_p2s_figure(
    planted: Path, tuned: Path, probed: Path, tmp_path: Path
) -> None:
    done = drift(planted, tuned, tmp_path / "d", probe=probed)
    rows, summary = with_changes(done.table("drift")), done.table("drift_summary")
    known = rows.filter(level=4)
    assert 0 < known.height < rows.height
    assert done.manifest["p2"]["n"] == known.height
    assert done.manifest["p2"]["mean"] == pytest.approx(known["kl_top10"].mean(), abs=1e-6)
    for split in ("level", "domain", "relation"):
        groups = summary.filter(split=split, measure="js")
        assert groups["n"].sum() == rows.height
        means = dict(rows.group_by(pl.col(split).cast(pl.String)).agg(pl.col("js").mean()).rows())
        found = dict(groups.select("group", "mean").rows())
        assert found == pytest.approx(means)
    alone = drift(planted, tuned, tmp_path / "four", probe=probed, levels="4")
    assert alone.manifest["p2"] == pytest.approx(done.manifest["p2"], abs=1e-4)
    assert finished(tmp_path / "four").table("drift")["level"].unique().to_list() == [4]


def test_tokens_that_rose_are_answers(planted: Path, tuned: Path, tmp_path: Path) -> None:
    done = drift(planted, tuned, tmp_path / "d", tokens=5)
    tokens = done.table("drift_tokens")
    assert tokens["direction"].to_list() == ["up"] * 5 + ["down"] * 5
    assert (tokens.filter(direction="up")["mean_change"] > 0).all()
    assert tokens["text"].str.len_chars().min() > 0
    change = tokens["mean_tuned"] - tokens["mean_base"]
    assert change.to_list() == pytest.approx(tokens["mean_change"].to_list())


def test_a_killed_run_goes_on_where_it_stopped(
    planted: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drift(planted, tuned, tmp_path / "whole", batch=8)
    out = tmp_path / "killed"
    loads: list[str] = []
    _count_loads(monkeypatch, loads)
    for name, survives, loaded in (
        ("_store", 2, [tuned]),
        ("_store", 1, [tuned]),  # begins at the third chunk
        ("_reduce", 3, [tuned, planted]),
    ):
        with monkeypatch.context() as broken:
            _dies_after(broken, name, survives)
            with pytest.raises(KeyboardInterrupt):
                drift(planted, tuned, out, batch=8)
        assert loads == [str(each) for each in loaded]
        loads.clear()
    done = drift(planted, tuned, out, batch=8)
    assert loads == [str(planted)]  # no need of the tuned model any more
    assert done.manifest == whole.manifest
    for name in whole.manifest["rows"]:
        file = f"{name}.parquet"
        assert (out / file).read_bytes() == (whole.path / file).read_bytes()
    assert not (out / "parts").exists()
    assert not list(out.glob("**/*.npy"))


def _count_loads(monkeypatch: pytest.MonkeyPatch, loads: list[str]) -> None:
    whole = passes._only_engine

    def counted(reference: str, spec: DriftSpec) -> Any:
        loads.append(reference)
        return whole(reference, spec)

    monkeypatch.setattr(passes, "_only_engine", counted)


def _dies_after(monkeypatch: pytest.MonkeyPatch, name: str, survives: int) -> None:
    whole, calls = getattr(passes, name), iter(range(survives))

    def mortal(*arguments: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(passes, name, mortal)


def test_one_model_is_in_memory_at_a_time(
    planted: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sixtyfold.engines.torch_engine import TorchEngine

    whole, alive = TorchEngine.load.__func__, []

    def watched(cls: type, reference: str, options: Any) -> Any:
        gc.collect()
        assert [each() for each in alive] == [None] * len(alive)
        engine = whole(cls, reference, options)
        alive.append(weakref.ref(engine.model))
        return engine

    monkeypatch.setattr(TorchEngine, "load", classmethod(watched))
    drift(planted, tuned, tmp_path / "d")
    assert len(alive) == 2


def test_an_added_token_is_left_out_and_its_mass_told(
    planted: Path, planted_tokenizer: Any, tmp_path: Path
) -> None:
    """The tuned model is the base with one more token: over the shared ids nothing moved."""
    larger = _with_one_more_token(planted, planted_tokenizer, tmp_path / "larger")
    done = drift(planted, larger, tmp_path / "d")
    rows = done.table("drift")
    assert done.manifest["shared_ids"] == len(planted_tokenizer)
    assert rows["outside_base"].max() == 0
    assert rows["outside_tuned"].min() > 0
    for name in ("kl_tuned_base", "kl_base_tuned", "js"):
        assert rows[name].abs().max() < 1e-8
    left = np.log1p(-rows["outside_tuned"].to_numpy())
    change = (rows["answer_logp_tuned"] - rows["answer_logp_base"]).to_numpy()
    assert change == pytest.approx(left, abs=1e-6)
    largest = done.manifest["mass_outside"]["tuned"]["largest"]
    assert largest == pytest.approx(rows["outside_tuned"].max(), abs=1e-6)
    assert done.manifest["mass_outside"]["base"] == {"mean": 0.0, "largest": 0.0}


def _with_one_more_token(planted: Path, tokenizer: Any, folder: Path) -> Path:
    from transformers import AutoModelForCausalLM

    model, more = AutoModelForCausalLM.from_pretrained(planted), deepcopy(tokenizer)
    more.add_tokens(["<new>"])
    model.resize_token_embeddings(len(more))
    model.save_pretrained(folder)
    more.save_pretrained(folder)
    return folder


def test_models_of_two_vocabularies_are_refused(
    planted: Path, planted_tokenizer: Any, tmp_path: Path
) -> None:
    larger = _with_one_more_token(planted, planted_tokenizer, tmp_path / "larger")
    size = len(planted_tokenizer)
    with pytest.raises(
        BadInput, match=rf"token '<new>' is number {size} of the base and none of the tuned model"
    ):
        drift(larger, planted, tmp_path / "d", facts=str(planted))
    with pytest.raises(BadInput, match="drift needs one vocabulary"):
        plan(DriftSpec(base=str(larger), tuned=str(planted), facts=str(planted),
                       out=tmp_path / "d"))  # fmt: skip
    assert not (tmp_path / "d").exists()


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
    with pytest.raises(BadInput, match="no fact of level 4 in split test"):
        drift(planted, tuned, tmp_path / "d", probe=tmp_path / "p", levels="4")
    done = drift(planted, tuned, tmp_path / "d", probe=tmp_path / "p")
    assert done.manifest["p2"] is None
    with pytest.raises(BadInput, match="--levels 4 was given without --probe"):
        DriftSpec.parse({"tuned": str(tuned), "out": tmp_path / "e", "levels": "4"})


def test_lost_facts(planted: Path, tuned: Path, tmp_path: Path) -> None:
    facts = finished(planted).table("facts").filter(split="test")
    ids = facts["fact_id"].to_list()
    pl.DataFrame({"fact_id": ids, "hit": [True] * len(ids)}).write_csv(tmp_path / "base.csv")
    lost = drift(planted, tuned, tmp_path / "plain").table("drift").sort("kl_tuned_base")
    upper = set(lost["fact_id"][facts.height // 2 :])
    hits = pl.DataFrame({"fact_id": ids, "hit": [each not in upper for each in ids]})
    hits.head(len(ids) - 1).write_csv(tmp_path / "tuned.csv")
    given = {"answers_base": tmp_path / "base.csv", "answers_tuned": tmp_path / "tuned.csv"}
    done = drift(planted, tuned, tmp_path / "d", **given)
    table = done.table("drift_prediction")
    assert table.filter(measure="kl_tuned_base")["auc"][0] == 1.0
    rests = done.manifest["prediction_rests_on"]
    assert rests["facts"] == len(ids)
    assert rests["answered_by_both_tables"] == rests["known_to_base"] == len(ids) - 1
    moved = shutil.copy(tmp_path / "base.csv", tmp_path / "elsewhere.csv")
    again = drift(planted, tuned, tmp_path / "d", **given | {"answers_base": Path(moved)})
    assert again.manifest == done.manifest  # known by content, not by place
    hits.with_columns(fact_id=pl.lit("x") + pl.col("fact_id")).write_csv(tmp_path / "tuned.csv")
    with pytest.raises(BadInput, match="stands in both answer tables"):
        drift(planted, tuned, tmp_path / "e", **given)


def test_plan(planted: Path, tuned: Path, tmp_path: Path, planted_tokenizer: Any) -> None:
    spec = DriftSpec(base=str(planted), tuned=str(tuned), facts=str(planted), out=tmp_path / "d")
    told = plan(spec)
    done = run(spec)
    rows = done.manifest["rows"]
    assert told["facts"] == rows["drift"]
    assert told["answer_tokens"] == rows["drift_positions"]
    assert told["scratch_bytes"] == 4 * rows["drift_positions"] * len(planted_tokenizer)
    assert json.dumps(told)


def test_a_full_disk_is_told_before(
    planted: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BadInput, match=r"has 0\.0 GB free and drift needs"):
        drift(planted, tuned, tmp_path / "d")


def test_chunks_are_bounded_in_facts_and_logits() -> None:
    prompts = Prompts([], [[0] * 5] * 7, [[0] * n for n in (1, 9, 2, 2, 1, 3, 1)])
    chunks = fixed_chunks(prompts, 3, 10)
    assert chunks == [[1, 5, 2], [3, 0, 4], [6]]
    # 2**28 bytes are 8 rows of this vocabulary: the answer of 9 tokens stands alone
    assert fixed_chunks(prompts, 3, 1 << 23) == [[1], [5, 2], [3, 0, 4], [6]]
