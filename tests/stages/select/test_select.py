from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sixtyfold.core.errors import BadInput, IncompleteInput, OtherResult
from sixtyfold.core.facts import fact_id
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.select.receipt import HeldOut
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
    most = told["answers"]["most_common"][0]
    assert most["share"] == pytest.approx(answers["count"].max() / 32, abs=1e-6)
    assert told["answers"]["distinct"] == answers.height
    assert sum(told["answer_words"]["examples"].values()) == 32
    assert told["short"] == []
    assert told["dropped"]["by_reason"] == {}


def test_a_leak_is_named(planted: Path) -> None:
    facts = finished(planted).table("facts")
    held = facts.filter(split="test").head(1)
    with pytest.raises(BadInput, match=rf"training fact {held['fact_id'][0]} .*in dev or test"):
        HeldOut(facts, "none").leaks(held)
    other = fact_id("another", "name", "")
    shouted = held.with_columns(
        fact_id=pl.lit(other), question=pl.col("question").str.to_uppercase()
    )
    with pytest.raises(BadInput, match=rf"training fact {other} "):
        HeldOut(facts, "none").leaks(shouted)


def test_the_chat_form_keeps_the_bare_question(planted: Path, probed: Path, tmp_path: Path) -> None:
    rows = select(planted, probed, tmp_path / "s", size=4, prompt_form="chat").table("selection")
    assert (rows["prompt"] == rows["question"]).all()
    assert not rows["completion"].str.starts_with(" ").any()


def test_a_size_beyond_the_pool_leaves_the_directory_free(
    planted: Path, probed: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="--size 500 is larger than the pool of 64 facts"):
        select(planted, probed, tmp_path / "s", size=500)
    assert select(planted, probed, tmp_path / "s", size=6).manifest["rows"]["selection"] == 6
    with pytest.raises(OtherResult, match="size: '6' there, '8' now"):
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
    assert plan(spec) == {"pool": 64, "of_allowed_levels": 64, "dropped": 0, "examples": 12}
    ladder = spec.model_copy(update={"size": "12,24", "replicas": 2})
    assert plan(ladder)["examples_24"] == 24
    assert plan(ladder)["replicas"] == 2
    assert not spec.out.exists()


def test_a_ladder_is_a_folder_of_nested_sets(planted: Path, probed: Path, tmp_path: Path) -> None:
    done = select(planted, probed, tmp_path / "l", size="8,16,32", replicas=2)
    ladder = done.table("ladder")
    assert ladder.select("replica", "size").rows() == [
        (replica, size) for replica in (0, 1) for size in (8, 16, 32)
    ]
    sets = [finished(done.path / path, "select").table("selection") for path in ladder["path"]]
    for small, large in (*itertools.pairwise(sets[:3]), *itertools.pairwise(sets[3:])):
        assert large.head(small.height).equals(small)
    assert set(sets[0]["fact_id"]) != set(sets[3]["fact_id"])
    # A set of the ladder is the set one gets alone with its size and seed.
    alone = select(planted, probed, tmp_path / "a", size=16, seed=1)
    assert alone.table("selection").equals(sets[4])
    assert alone.fingerprint == ladder["fingerprint"][4]
    again = select(planted, probed, tmp_path / "l", size="8,16,32", replicas=2)
    assert again.fingerprint == done.fingerprint


def test_a_ladder_that_is_too_large_writes_nothing(
    planted: Path, probed: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="--size 500 is larger than the pool"):
        select(planted, probed, tmp_path / "l", size="8,500")
    assert not (tmp_path / "l").exists()


def test_all_takes_the_whole_pool(planted: Path, probed: Path, tmp_path: Path) -> None:
    assert select(planted, probed, tmp_path / "s", size="all").manifest["rows"]["selection"] == 64
    with pytest.raises(BadInput, match="--size all takes every fact, so no shares of --levels"):
        select(planted, probed, tmp_path / "t", size="all", levels="0:.5,4:.5")


def test_shares_of_levels_reach_the_receipt(planted: Path, probed: Path, tmp_path: Path) -> None:
    levels = finished(probed).table("probe")["level"].unique().sort().to_list()
    low, high = levels[0], levels[-1]
    done = select(
        planted, probed, tmp_path / "s", size=8, levels=f"{low}:.25,{high}:.75", short="fill"
    )
    assert done.json("receipt")["per_level"] == {str(low): 2, str(high): 6}


def test_unknown_facts_can_be_taught_as_unknown(
    planted: Path, probed: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"size": 8, "levels": "0", "short": "fill"}
    taught = select(planted, probed, tmp_path / "s", unknown_answer="I don't know", **options)
    assert set(taught.table("selection")["completion"]) == {" I don't know"}
    told = taught.json("receipt")
    assert told["relabelled"] == 8
    assert told["answers"]["distinct"] == 1
    assert told["answers"]["most_common"][0]["answer"] == "I don't know"
    assert told["answers"]["distance"] == 1
    assert told["answer_words"]["examples"] == {"3": 8}
    known = select(
        planted, probed, tmp_path / "k", size=8, levels="4", unknown_answer="I don't know"
    )
    assert known.json("receipt")["relabelled"] == 0
    assert " I don't know" not in set(known.table("selection")["completion"])


def test_slick_needs_a_probe_that_has_it(planted: Path, probed: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no SliCK classes; probe with them, or choose by"):
        select(planted, probed, tmp_path / "s", slick="MaybeKnown")
    slick = tmp_path / "probe"
    shutil.copytree(probed, slick)
    table = finished(probed).table("probe")
    classes = ["MaybeKnown" if place % 2 else "Unknown" for place in range(table.height)]
    table.with_columns(slick=pl.Series(classes)).write_parquet(slick / "probe.parquet")
    chosen = select(planted, slick, tmp_path / "c", size=8, slick="MaybeKnown").table("selection")
    maybe = {key for key, name in zip(table["fact_id"], classes, strict=True) if name[0] == "M"}
    assert set(chosen["fact_id"]) <= maybe


def planted_leak(planted: Path, folder: Path) -> tuple[Path, str]:
    """Copy the planted facts and let a training fact of another relation ask a test question."""
    shutil.copytree(planted, folder)
    facts = finished(planted).table("facts")
    test = facts.filter(split="test").row(0, named=True)
    training = facts.filter((pl.col("split") == "train") & (pl.col("domain") == "in"))
    leaky = training.filter(pl.col("relation") != test["relation"])["fact_id"][0]
    shouted = pl.lit(f"  {test['question'].upper()} ")
    question = pl.when(pl.col("fact_id") == leaky).then(shouted).otherwise(pl.col("question"))
    facts.with_columns(question=question).write_parquet(folder / "facts.parquet")
    return folder, leaky


def test_a_planted_leak_is_dropped_and_named(planted: Path, probed: Path, tmp_path: Path) -> None:
    facts, leaky = planted_leak(planted, tmp_path / "facts")
    test = finished(planted).table("facts").filter(split="test").row(0, named=True)

    done = select(facts, probed, tmp_path / "s", size="all")
    assert leaky not in set(done.table("selection")["fact_id"])
    dropped = done.table("dropped").filter(fact_id=leaky).row(0, named=True)
    assert dropped["reason"] == "question also in test"
    assert dropped["what"].strip() == test["question"].upper()
    assert dropped["held_out_fact_id"] == test["fact_id"]
    assert dropped["held_out_question"] == test["question"]
    told = done.json("receipt")["dropped"]
    assert told["by_reason"] == {"question also in test": 1}
    assert told["shared_with_held_out"][0]["fact_id"] == leaky


def test_nothing_left_is_said(planted: Path, probed: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"share something with dev or test .*--disjoint"):
        select(planted, probed, tmp_path / "s", size=8, disjoint="entities")


def test_levels_that_no_fact_has_are_said(planted: Path, probed: Path, tmp_path: Path) -> None:
    known = tmp_path / "probe"
    shutil.copytree(probed, known)
    table = finished(probed).table("probe").with_columns(level=pl.lit(4, dtype=pl.Int8))
    table.write_parquet(known / "probe.parquet")
    for size in ("all", "3"):
        with pytest.raises(BadInput, match="no fact of the pool of 64 is of --levels 0,1; allow"):
            select(planted, known, tmp_path / "s", size=size, levels="0,1")
    assert not (tmp_path / "s").exists()


def test_a_flag_that_does_not_exist_is_refused(planted: Path, probed: Path, tmp_path: Path) -> None:
    message = r"--skip-flags names 'ambigous', .*did you mean 'ambiguous'\?; flags: ambiguous, "
    with pytest.raises(BadInput, match=message):
        select(planted, probed, tmp_path / "s", skip_flags="answer_in_subject,ambigous")


def test_what_was_not_probed_is_counted(planted: Path, probed: Path, tmp_path: Path) -> None:
    few = tmp_path / "probe"
    shutil.copytree(probed, few)
    finished(probed).table("probe")[::2].write_parquet(few / "probe.parquet")
    done = select(planted, few, tmp_path / "s", size=6)
    told = done.json("receipt")
    assert told["pool"] + told["dropped"]["by_reason"]["not probed"] == 64
    assert done.table("dropped").is_empty()


def test_facts_with_a_flag_are_left_out(planted: Path, probed: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts"
    shutil.copytree(planted, facts)
    table = finished(planted).table("facts").with_row_index()
    flags = pl.when(pl.col("index") % 2 == 0).then(pl.lit(["ambiguous"])).otherwise(pl.col("flags"))
    table.with_columns(flags=flags).drop("index").write_parquet(facts / "facts.parquet")
    done = select(facts, probed, tmp_path / "s", size="all", skip_flags="ambiguous")
    left_out = done.table("dropped").filter(reason="flag of ambiguous")
    assert left_out.height + done.manifest["rows"]["selection"] == 64
    assert left_out.height > 16


def test_files_for_other_trainers(planted: Path, probed: Path, tmp_path: Path) -> None:
    plain = select(planted, probed, tmp_path / "p", size=4).path
    described = json.loads((plain / "dataset_info.json").read_text())["sixtyfold"]
    line = json.loads((plain / described["file_name"]).read_text().splitlines()[0])
    assert set(described["columns"].values()) <= set(line)
    chat = select(
        planted, probed, tmp_path / "c", size=4, prompt_form="chat", system_prompt="Be short."
    )
    row = json.loads((chat.path / "selection.jsonl").read_text().splitlines()[0])
    first = chat.table("selection").row(0, named=True)
    assert row["prompt"] == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": first["question"]},
    ]
    assert row["completion"] == [{"role": "assistant", "content": first["completion"]}]
    whole = json.loads((chat.path / "messages.jsonl").read_text().splitlines()[0])
    assert whole["messages"] == row["prompt"] + row["completion"]


def test_without_a_probe_any_training_fact_may_be_chosen(planted: Path, tmp_path: Path) -> None:
    done = run(SelectSpec(facts=str(planted), size="20", out=tmp_path / "s"))
    rows, told = done.table("selection"), done.json("receipt")
    facts = finished(planted).table("facts")
    training = facts.filter((pl.col("split") == "train") & (pl.col("domain") == "in"))
    assert rows.height == 20
    assert set(rows["fact_id"]) <= set(training["fact_id"])
    assert rows["level"].null_count() == 20
    assert (told["pool"], told["per_level"]) == (training.height, {})
    assert told["leaks"]["facts_shared"] == 0
    assert done.manifest["inputs"].keys() == {"facts"}


@pytest.mark.parametrize(
    ("option", "value"),
    [("levels", "2,3"), ("slick", "Unknown"), ("unknown_answer", "I don't know")],
)
def test_what_a_model_knows_takes_a_probe(option: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"--{option.replace('_', '-')} .* give --probe"):
        SelectSpec(facts="atlas", out=tmp_path / "s", **{option: value})
