from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sixtyfold.core.errors import BadInput
from sixtyfold.core.levels import SLICK_CLASSES
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.probe import drawing
from sixtyfold.stages.probe import run as probe_run
from sixtyfold.stages.probe.run import plan, run
from sixtyfold.stages.probe.sampling import ROULETTE
from sixtyfold.stages.probe.spec import ProbeSpec

TABLES = ("probe", "probe_prompts")


def probe(planted: Path, out: Path, **options: Any) -> Finished:
    settings: dict[str, Any] = {
        "limit": 24,
        "templates": 3,
        "dtype": "float32",
        "max_new_tokens": 8,
        "fresh": True,
    }
    return run(
        ProbeSpec(model=str(planted), facts=str(planted), out=out, **{**settings, **options})
    )


def test_recall_follows_exposure(planted: Path, probed: Path) -> None:
    rows = finished(probed, "probe").table("probe")
    assert rows.height == 180
    assert rows["k_templates"].unique().to_list() == [6]
    seen = finished(planted, "plant").table("exposures")
    means = rows.join(seen, on="fact_id").group_by("times_seen").agg(pl.mean("recall", "level"))
    by_times = {row[0]: row[1] for row in means.iter_rows()}
    assert by_times[0] < by_times[2] < by_times[50]
    assert by_times[0] < 0.2
    assert by_times[50] > 0.8
    levels = rows.join(seen, on="fact_id").filter(times_seen=50)["level"]
    assert (levels >= 3).mean() > 0.8


def test_every_row_keeps_its_promises(probed: Path) -> None:
    rows = finished(probed, "probe").table("probe")
    assert rows["fact_id"].is_sorted()
    assert rows["fact_id"].is_unique().all()
    inside = (
        (pl.col("recall_low") >= 0)
        & (pl.col("recall_low") <= pl.col("recall") + 1e-12)
        & (pl.col("recall") <= pl.col("recall_high") + 1e-12)
        & (pl.col("recall_high") <= 1 + 1e-12)
    )
    assert rows.select(inside.all()).item()
    for row in rows.iter_rows(named=True):
        assert sum(row["level_probs"]) == pytest.approx(1)
        assert row["level_probs"][row["level"]] == max(row["level_probs"]) == row["level_prob"]
    assert rows.schema["level"] == pl.Int8
    prompts = finished(probed, "probe").table("probe_prompts")
    values = prompts["values"].explode()
    assert values.min() >= 0
    assert values.max() <= 1
    least = pl.min_horizontal("first_prob", pl.lit(1 - ROULETTE))
    assert prompts.filter(pl.col("recall_hat") < least - 1e-6).is_empty()


def test_survival_agrees_with_plain_draws(planted: Path, tmp_path: Path) -> None:
    shares = []
    for estimator, draws in (("survival", 4), ("draws", 40)):
        done = probe(planted, tmp_path / estimator, estimator=estimator, draws=draws, limit=40)
        shares.append(done.table("probe_prompts"))
    cheap, plain = shares
    assert cheap["hits"].null_count() == cheap.height
    assert plain.filter(pl.col("hits") != pl.col("recall_hat") * 40).is_empty()
    # 120 prompts; the standard error of the mean of plain draws is below .5/sqrt(120 * 40)
    assert cheap["recall_hat"].mean() == pytest.approx(plain["recall_hat"].mean(), abs=0.022)
    far = (cheap["recall_hat"] - plain["recall_hat"]).abs()
    assert (far > 0.35).mean() < 0.05


def test_batch_size_changes_nothing_that_counts(planted: Path, tmp_path: Path) -> None:
    large = probe(planted, tmp_path / "large", limit=60, batch=512)
    small = probe(planted, tmp_path / "small", limit=60, batch=7)
    one, two = large.table("probe"), small.table("probe")
    assert (one["level"] == two["level"]).mean() >= 0.99
    close = (one["recall"] - two["recall"]).abs() < 1e-3
    assert close.mean() >= 0.99
    inside = two["recall"].is_between(one["recall_low"] - 1e-5, one["recall_high"] + 1e-5)
    assert inside.all()


def test_a_limit_takes_facts_that_a_larger_limit_takes_too(planted: Path, tmp_path: Path) -> None:
    few = probe(planted, tmp_path / "few", limit=10).table("probe")
    more = probe(planted, tmp_path / "more", limit=20).table("probe")
    both = more.filter(pl.col("fact_id").is_in(few["fact_id"]))
    assert both.height == 10
    assert_frame_equal(few.select("fact_id", "recall"), both.select("fact_id", "recall"))


def test_a_killed_probe_continues_to_the_same_bytes(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = probe(planted, tmp_path / "whole", batch=16)
    calls = []

    def killed_at_the_third(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return sample(*arguments)

    sample = drawing.sample_prompts
    with monkeypatch.context() as patch:
        patch.setattr(drawing, "sample_prompts", killed_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            probe(planted, tmp_path / "killed", batch=16)
    assert len(list((tmp_path / "killed" / "parts").glob("probe_prompts-*"))) == 2
    calls.clear()
    monkeypatch.setattr(drawing, "sample_prompts", lambda *a: calls.append(1) or sample(*a))
    again = probe(planted, tmp_path / "killed", batch=16)
    assert len(calls) == -(-24 * 3 // 16) - 2
    for name in TABLES:
        file = f"{name}.parquet"
        assert (whole.path / file).read_bytes() == (again.path / file).read_bytes()
    assert whole.fingerprint == again.fingerprint


def test_matching_modes_order_recall(planted: Path, tmp_path: Path) -> None:
    means = {
        match: probe(planted, tmp_path / match, match=match).table("probe")["recall"].mean()
        for match in ("strict", "standard", "loose")
    }
    assert means["strict"] <= means["standard"] + 0.02
    assert means["standard"] <= means["loose"] + 0.02
    assert means["standard"] > 0.2


def test_a_relation_without_template_is_refused(planted: Path, tmp_path: Path) -> None:
    facts = finished(planted, "plant")
    with pytest.raises(BadInput, match="relation 'dish' has no cloze template"):
        probe_run.relation_templates(
            facts.table("facts").filter(relation="dish"),
            facts.table("templates").filter(relation="employer"),
            None,
        )


def test_plan_writes_nothing(planted: Path, tmp_path: Path) -> None:
    spec = ProbeSpec(
        model=str(planted), facts=str(planted), out=tmp_path / "p", limit=10, templates=2
    )
    counted = plan(spec)
    assert (counted["facts"], counted["prompts"], counted["draws"]) == (10, 20, 20)
    assert not spec.out.exists()


def test_slick_classes_stand_beside_the_levels(planted: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"limit": 10, "splits": "train", "templates": 1, "slick": True}
    done = probe(planted, tmp_path / "p", **options)
    table = done.table("probe")
    assert table.height == 10
    assert set(table["slick"]) <= set(SLICK_CLASSES)
    plain = probe(planted, tmp_path / "q", **{**options, "slick": False})
    assert plain.table("probe").equals(table.drop("slick"))


def test_too_few_facts_for_slick_are_refused_before_any_draw(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--slick|worked examples|relation .* has"):
        probe(planted, tmp_path / "p", slick=True, splits="test", limit=200)
    assert not (tmp_path / "p").exists()
