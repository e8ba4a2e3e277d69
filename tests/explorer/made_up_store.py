"""A made-up store: records, cells and tables of the right shape, answers told by simple rules.

Fact i of a relation is answered by a run when `i % 10 < right`, so counts can be worked out by
hand: of every ten facts a run of `right` 4 and one of 6 keep 4, gain 2 and never have 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.atomic_files import write_json, write_parquet
from sixtyfold.core.facts import FACTS_SCHEMA, TEMPLATES_SCHEMA
from sixtyfold.study.columns import CELLS_SCHEMA, SCHEMA
from sixtyfold.study.store import LocalStore

RELATIONS = {"capital": "in", "currency": "in", "river": "out"}
FACTS, PROBE = "f" * 16, "b" * 16
BASE_MODEL = "0123456789abcdef"
HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
TURNING = "\u202egnirts\u202c \x1b[31m\x07 </textarea>{{ 7 * 7 }} `${window.hacked = 3}`"


class MadeRun(NamedTuple):
    """A run to make: its grid, size and seed, and how many of ten facts it answers."""

    key: str
    right: int
    grid: str = "sizes"
    size: str | None = "60"
    seed: int | None = 0
    tuned: bool = True
    split: str = "test"
    model: str = "m"


RUNS = (
    MadeRun("1" * 16, 4, grid="base", size=None, seed=None, tuned=False),
    MadeRun("2" * 16, 6, size="60"),
    MadeRun("3" * 16, 5, size="240"),
    MadeRun("4" * 16, 3, size="240", seed=1),
    MadeRun("5" * 16, 4, grid="base", size=None, seed=None, tuned=False, split="dev"),
)


def facts(per_relation: int, split: str = "test") -> pl.DataFrame:
    """Facts of every relation; fact i has the key RELATION-SPLIT-i and the level i % 5."""
    count = per_relation * len(RELATIONS)
    index = pl.int_range(count, eager=True)
    number, which = index // len(RELATIONS), index % len(RELATIONS)
    relation = which.map_elements(lambda each: list(RELATIONS)[each], return_dtype=pl.String)
    frame = pl.DataFrame({"relation": relation, "number": number}).with_columns(
        domain=pl.col("relation").replace(RELATIONS),
        subject=pl.format("Subject {}", "number"),
        split=pl.lit(split),
    )
    return frame.select(
        pl.format("{}-{}-{}", "relation", "split", pl.col("number").cast(pl.String).str.zfill(6))
        .alias("fact_id"),
        "relation",
        "subject",
        pl.concat_list(pl.format("Answer {}", "number"), pl.format("Alias {}", "number"))
        .alias("objects"),
        pl.format("What is the {} of {}?", "relation", "subject").alias("question"),
        "split",
        "domain",
        pl.lit([], pl.List(pl.String)).alias("flags"),
        pl.lit(None, pl.Int64).alias("popularity"),
        "number",
    ).sort("fact_id")  # fmt: skip


def answers(asked: pl.DataFrame, right: int, wrong: str) -> pl.DataFrame:
    """Answers of a run that is right about `right` facts of ten."""
    hit = pl.col("number") % 10 < right
    answer = pl.when(hit).then(pl.col("objects").list.first()).otherwise(pl.lit(wrong))
    return asked.select(
        "fact_id", "relation", "domain", "split",
        (pl.col("number") % 5).cast(pl.Int8).alias("level"),
        pl.format("Question: {}\nAnswer:", "question").alias("prompt"),
        answer.alias("answer"), hit.alias("hit"), hit.alias("exact"),
        hit.cast(pl.Float64).alias("f1"), pl.lit(True).alias("ended"),
    ).cast(ANSWERS_SCHEMA).sort("fact_id")  # fmt: skip


def probe(asked: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """A probe: fact i has the level i % 5, two templates and two draws of each."""
    level = (pl.col("number") % 5).cast(pl.Int8)
    shares = [pl.when(level == each).then(0.9).otherwise(0.025) for each in range(5)]
    facts_ = asked.select(
        "fact_id", (level / 4).alias("recall"), (level / 5).alias("recall_low"),
        pl.lit(1.0).alias("recall_high"), level.alias("level"), pl.lit(0.9).alias("level_prob"),
        pl.concat_list(shares).alias("level_probs"), pl.lit(4, pl.Int32).alias("draws"),
        pl.lit(2, pl.Int16).alias("k_templates"), pl.lit("survival").alias("estimator"),
        pl.lit("standard").alias("match"), pl.lit("torch").alias("engine"),
    )  # fmt: skip
    numbers = pl.DataFrame({"template_id": [0, 1]}, schema={"template_id": pl.Int16})
    prompts = asked.select("fact_id", "number").join(numbers, how="cross").select(
        "fact_id", "template_id", pl.lit(0.25).alias("first_prob"),
        pl.lit(2, pl.Int32).alias("draws"), pl.lit(None, pl.Int32).alias("hits"),
        ((pl.col("number") % 5) / 4).alias("recall_hat"), pl.lit(0.01).alias("recall_var"),
        pl.lit([0.5, 0.125], pl.List(pl.Float64)).alias("values"),
        pl.lit(5, pl.Int32).alias("tokens_prompt"), pl.lit(3, pl.Int32).alias("tokens_scored"),
        pl.lit(4, pl.Int32).alias("tokens_drawn"), pl.lit(" a draw").alias("example"),
    )  # fmt: skip
    return {"probe": facts_, "probe_prompts": prompts}


def build_store(
    root: Path,
    per_relation: int = 20,
    *,
    runs: tuple[MadeRun, ...] = RUNS,
    hostile: bool = False,
    base_model: str = "embedded",
) -> LocalStore:
    """Write the store; with `hostile` the wrong answers and one question are made to do harm."""
    store = LocalStore(root)
    asked = {split: facts(per_relation, split) for split in ("train", "dev", "test")}
    if hostile:
        first = pl.col("number") == 7
        harmful = pl.when(first).then(pl.lit(HOSTILE)).otherwise(pl.col("question"))
        asked["test"] = asked["test"].with_columns(question=harmful)
    every = pl.concat(asked.values()).drop("number").cast(FACTS_SCHEMA).sort("fact_id")
    _put(store, "facts", FACTS, {}, {}, facts=every, templates=_templates())
    options = {"estimator": "survival", "match": "standard", "templates": 2}
    _put(store, "probe", PROBE, options, {"facts": FACTS}, **probe(asked["test"]))
    cells = [_cell("base", None, None, "probe", "probe", PROBE)]
    for run in runs:
        wrong = HOSTILE + TURNING + "x" * 1_000_000 if hostile and run.tuned else "no idea"
        if hostile:
            table = answers(asked[run.split].head(30), run.right, wrong)
        else:
            table = answers(asked[run.split], run.right, wrong)
        untuned = BASE_MODEL if run.model == "m" else f"{run.model}-base"
        model = f"a{run.key[1:]}" if run.tuned else untuned
        place = store.root / "results" / "tune" / model
        if run.tuned:
            _put(store, "tune", model, {}, {}, numbers=pl.DataFrame(schema=SCHEMA))
        spec = {"model": str(place) if run.tuned else base_model, "split": run.split}
        reads = {"model": model, "facts": FACTS, "probe": PROBE}
        _put(store, "evaluate", run.key, spec, reads, answers=table)
        cell = _cell(run.grid, run.size, run.seed, run.split, "evaluate", run.key, run.model)
        cells.append(cell)
    rows = pl.DataFrame(cells, schema=CELLS_SCHEMA, orient="row")
    store.write_cells("made-up", rows)
    return store


def _templates() -> pl.DataFrame:
    rows = [
        (relation, number, text)
        for relation in RELATIONS
        for number, text in enumerate((f"The {relation} of {{subject}} is", "{subject} has"))
    ]
    return pl.DataFrame(rows, schema=TEMPLATES_SCHEMA, orient="row")


def _cell(
    grid: str,
    size: str | None,
    seed: int | None,
    role: str,
    stage: str,
    key: str,
    model: str = "m",
) -> Any:
    return ("made-up", grid, model, seed, size, None, None, True, "{}", role, stage, key)


def _put(
    store: LocalStore,
    stage: str,
    key: str,
    options: dict[str, Any],
    reads: dict[str, Any],
    **tables: pl.DataFrame,
) -> None:
    folder = store.root / "results" / stage / key
    folder.mkdir(parents=True)
    for name, table in tables.items():
        write_parquet(folder / f"{name}.parquet", table)
    record = {
        "format": 1, "key": key, "stage": stage, "options": options, "reads": reads,
        "files": {}, "seconds": 1.0, "packages": {},
    }  # fmt: skip
    write_json(store.root / "records" / f"{key}.json", record)
