from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sixtyfold.core.errors import BadInput
from sixtyfold.core.paired_tests import holm
from sixtyfold.core.rank_tests import separation
from sixtyfold.stages.drift.prediction import (
    PREDICTORS,
    both_answers,
    counted,
    drift_prediction,
    outcomes,
)
from sixtyfold.stages.drift.spec import DriftSpec

N = 60
IDS = [f"f{i:02d}" for i in range(N)]


def facts() -> pl.DataFrame:
    random = np.random.default_rng(0)
    noise = {name: random.normal(size=N) for name in ("kl_top10", "kl_base_tuned", "js")}
    return pl.DataFrame(
        {
            "fact_id": IDS,
            "kl_tuned_base": np.arange(N) * 1.0,
            **noise,
            "answer_logp_base": [-1.0] * N,
            "answer_logp_tuned": -np.arange(N) * 1.0,
            "whole_logp_base": [-1.0] * N,
            "whole_logp_tuned": random.normal(size=N),
        }
    )


def answers(hits: list[bool], ids: list[str] = IDS) -> pl.DataFrame:
    return pl.DataFrame({"fact_id": ids, "hit": hits})


#: the base knows all but every sixth fact; of those, the upper half is lost
BASE = [i % 6 != 0 for i in range(N)]
TUNED = [i < 30 for i in range(N)]


def test_drift_that_rises_with_loss_predicts_it() -> None:
    found = outcomes(facts(), answers(BASE), answers(TUNED))
    table = drift_prediction(found, seed=0)
    assert table["measure"].to_list() == list(PREDICTORS)
    kl = table.filter(measure="kl_tuned_base").row(0, named=True)
    assert (kl["n_lost"], kl["n_kept"], kl["auc"]) == (25, 25, 1.0)
    assert kl["rho"] == pytest.approx(np.sqrt(0.75), abs=0.001)  # the most there can be, half lost
    assert table.filter(measure="answer_logp_change")["auc"][0] == 0.0
    noise = table.filter(measure="js").row(0, named=True)
    known = found.filter(pl.col("hit_base"))
    alone = separation(known["js"].to_numpy(), ~known["hit_tuned"].to_numpy(), 0)
    assert alone is not None
    assert (noise["auc"], noise["auc_low"], noise["p"]) == (alone.auc, alone.auc_low, alone.p)
    assert table["p_holm"].to_list() == pytest.approx(holm(table["p"].to_list()))


def test_facts_the_base_did_not_know_do_not_count() -> None:
    everything = outcomes(facts(), answers(BASE), answers(TUNED))
    shifted = everything.with_columns(
        kl_tuned_base=pl.when(pl.col("hit_base")).then("kl_tuned_base").otherwise(999.0)
    )
    assert drift_prediction(shifted, 0).equals(drift_prediction(everything, 0))
    assert counted(everything, 70) == {
        "facts": 70, "answered_by_both_tables": 60, "known_to_base": 50, "lost": 25,
    }  # fmt: skip


def test_nothing_lost_predicts_nothing() -> None:
    found = outcomes(facts(), answers(BASE), answers([True] * N))
    table = drift_prediction(found, 0)
    assert table["n_lost"].to_list() == [0] * len(PREDICTORS)
    assert table["auc"].null_count() == table["p_holm"].null_count() == len(PREDICTORS)
    nobody = outcomes(facts(), answers([False] * N), answers(TUNED))
    assert drift_prediction(nobody, 0)["n_kept"].to_list() == [0] * len(PREDICTORS)


def test_answers_to_other_facts_are_refused() -> None:
    other = answers(BASE, [f"other {i}" for i in range(N)])
    with pytest.raises(BadInput, match="none of the 60 facts stands in both answer tables"):
        outcomes(facts(), other, answers(TUNED))


def test_both_tables_are_needed(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="lost facts need both"):
        DriftSpec.parse({"tuned": "t", "out": tmp_path / "d", "answers_base": tmp_path / "a.csv"})
    for name, hits in (("a", BASE), ("b", TUNED)):
        answers(hits).write_csv(tmp_path / f"{name}.csv")
    spec = DriftSpec(tuned="t", out=tmp_path / "d", answers_base=tmp_path / "a.csv",
                     answers_tuned=tmp_path / "b.csv")  # fmt: skip
    read = both_answers(spec)
    assert read is not None
    assert read[0].table["hit"].to_list() == BASE
    assert "answers_base" not in spec.recorded()
