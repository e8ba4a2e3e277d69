from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput, IncompleteInput, OtherResult
from sixtyfold.core.facts import fact_id
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.select.receipt import leaks
from sixtyfold.stages.select.run import plan, run
from sixtyfold.stages.select.spec import SelectSpec


def select(planted: Path, probed: Path, out: Path, **options: Any) -> Finished:
    return run(SelectSpec(facts=str(planted), probe=probed, out=out, **options))


def test_sizes_are_nested(planted: Path, probed: Path, tmp_path: Path) -> None:
    chosen = [
        select(planted, probed, tmp_path / str(size), size=size).table("selection")
        for size in (12, 24, 36)
    ]
    for smaller, larger in itertools.pairwise(chosen):
        assert larger.head(smaller.height).equals(smaller)


def test_only_training_facts_of_the_wanted_levels(
    planted: Path, probed: Path, tmp_path: Path
) -> None:
    done = select(planted, probed, tmp_path / "s", size=8, levels="0,1", short="fill")
    rows = done.table("selection")
    levels = finished(probed).table("probe").select("fact_id", probed_level="level")
    known = rows.join(finished(planted).table("facts"), on="fact_id").join(levels, on="fact_id")
    assert known.height == 8
    assert known["split"].unique().to_list() == ["train"]
    assert known["domain"].unique().to_list() == ["in"]
    assert set(known["probed_level"]) <= {0, 1}
    assert (known["level"] == known["probed_level"]).all()
    assert rows["order"].to_list() == list(range(8))


def test_rows_are_prompt_and_completion(selected: Path, planted: Path) -> None:
    rows = (
        finished(selected, "select")
        .table("selection")
        .join(finished(planted).table("facts").select("fact_id", "objects"), on="fact_id")
    )
    for row in rows.iter_rows(named=True):
        assert row["prompt"] == f"Question: {row['question']}\nAnswer:"
        assert row["completion"] == f" {row['objects'][0]}"
    lines = (selected / "selection.jsonl").read_text().splitlines()
    assert [json.loads(line)["fact_id"] for line in lines] == finished(selected).table("selection")[
        "fact_id"
    ].to_list()


def test_the_receipt_counts_by_hand(selected: Path) -> None:
    told = finished(selected, "select").json("receipt")
    rows = finished(selected).table("selection")
    assert told["examples"] == rows.height == 32
    assert told["per_relation"] == {"birthplace": 16, "employer": 16}
    assert told["per_level"] == {"4": 32}
    assert told["leaks"]["facts_shared"] == told["leaks"]["questions_shared"] == 0
    assert told["leaks"]["held_out_facts_checked"] > 60
    answers = rows["completion"].str.strip_chars().value_counts(sort=True)
    assert told["most_common_answer"]["share"] == pytest.approx(
        answers["count"].max() / 32, abs=1e-6
    )


def test_a_leak_is_named(planted: Path) -> None:
    facts = finished(planted).table("facts")
    held = facts.filter(split="test").head(1)
    with pytest.raises(BadInput, match=rf"training fact {held['fact_id'][0]} .*in dev or test"):
        leaks(held, facts)
    other = fact_id("another", "name", "")
    shouted = held.with_columns(
        fact_id=pl.lit(other), question=pl.col("question").str.to_uppercase()
    )
    with pytest.raises(BadInput, match=rf"training fact {other} "):
        leaks(shouted, facts)


def test_the_chat_form_keeps_the_bare_question(planted: Path, probed: Path, tmp_path: Path) -> None:
    rows = select(planted, probed, tmp_path / "s", size=4, prompt_form="chat").table("selection")
    assert (rows["prompt"] == rows["question"]).all()
    assert not rows["completion"].str.starts_with(" ").any()


def test_a_size_beyond_the_pool_leaves_the_directory_free(
    planted: Path, probed: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="--size 500 is larger than the pool of 64 facts"):
        select(planted, probed, tmp_path / "s", size=500)
    assert select(planted, probed, tmp_path / "s", size=6).manifest["rows"] == {"selection": 6}
    with pytest.raises(OtherResult, match="size: 6 there, 8 now"):
        select(planted, probed, tmp_path / "s", size=8)


def test_a_probe_of_other_facts_is_refused(
    planted: Path, probed: Path, selected: Path, tmp_path: Path
) -> None:
    with pytest.raises(IncompleteInput, match="the result of 'select'; a result of 'probe'"):
        select(planted, selected, tmp_path / "s")
    with pytest.raises(IncompleteInput, match="there is no directory"):
        select(planted, tmp_path / "nowhere", tmp_path / "s")


def test_plan_counts(planted: Path, probed: Path, tmp_path: Path) -> None:
    spec = SelectSpec(facts=str(planted), probe=probed, out=tmp_path / "s", size=12)
    assert plan(spec) == {"pool": 64, "of_allowed_levels": 64, "examples": 12}
    assert not spec.out.exists()
