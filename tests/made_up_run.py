"""A made-up run directory: real stage directories, answers told by simple patterns.

Every relation has the same number of test facts; fact i of a relation is answered by a model when
`i < right[model]`, so shares, transitions and differences can be worked out by hand.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.facts import FACTS_SCHEMA, fact_id
from sixtyfold.core.spec import StageSpec
from sixtyfold.core.stage import open_stage

IN = ("capital", "currency")
OUT = ("river",)
CHOSEN = ("relative", 20.0)
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202eright to left\x00\x1b[31m"
)

#: facts answered per relation of 10: model -> relation -> count
RIGHT = {
    "base": {"capital": 1, "currency": 1, "river": 0},
    "base-fewshot": {"capital": 6, "currency": 4, "river": 3},
    "tuned": {"capital": 8, "currency": 6, "river": 3},
    "restored": {"capital": 9, "currency": 5, "river": 4},
}


class AnySpec(StageSpec):
    """A spec that records what a made-up stage was called with."""

    model: str = "embedded"
    match: str = "standard"


def facts(per_relation: int = 10, hostile: str | None = None) -> pl.DataFrame:
    """Test, dev and train facts; fact i of a relation has the object `answer i`."""
    rows = []
    for relation in (*IN, *OUT):
        for split in ("train", "dev", "test"):
            if split == "train" and relation in OUT:
                continue
            for index in range(per_relation):
                subject = f"{split} subject {index}"
                question = hostile if hostile and index == 0 and split == "test" else f"{subject}?"
                # Half of the answers of a relation are "most common".
                answer = "common" if index < per_relation // 2 else f"answer {index}"
                rows.append(
                    {
                        "fact_id": fact_id(relation, subject, question),
                        "relation": relation,
                        "subject": subject,
                        "objects": [answer, f"alias {index}"],
                        "question": question,
                        "split": split,
                        "domain": "in" if relation in IN else "out",
                        "flags": [],
                        "popularity": None,
                    }
                )
    return pl.DataFrame(rows, schema=FACTS_SCHEMA).sort("fact_id")


def answers(
    table: pl.DataFrame, right: dict[str, int], split: str = "test", wrong: str = "no idea"
) -> pl.DataFrame:
    """Answers of one model: facts numbered below `right[relation]` are hits."""
    rows = []
    for row in table.filter(pl.col("split") == split).to_dicts():
        index = int(row["subject"].rsplit(" ", 1)[1])
        hit = index < right[row["relation"]]
        rows.append(
            {
                "fact_id": row["fact_id"],
                "relation": row["relation"],
                "domain": row["domain"],
                "split": split,
                "level": index % 5,
                "prompt": row["question"],
                "answer": row["objects"][0] if hit else wrong,
                "hit": hit,
                "exact": hit and index != 0,
                "f1": float(hit),
                "ended": index != 9,
            }
        )
    return pl.DataFrame(rows, schema=ANSWERS_SCHEMA).sort("fact_id")


def stage(
    path: Path,
    name: str,
    tables: dict[str, pl.DataFrame] | None = None,
    files: dict[str, Any] | None = None,
    **spec: Any,
) -> Path:
    """Write a finished stage directory."""
    text = "".join(frame.write_json() for frame in (tables or {}).values())
    inputs = {"model": hashlib.sha256(text.encode()).hexdigest()[:16]}
    with open_stage(name, AnySpec(out=path, **spec), inputs) as directory:
        for key, frame in (tables or {}).items():
            directory.write_table(key, frame)
        for key, value in (files or {}).items():
            directory.write_json(key, value)
        directory.finish(rows={key: frame.height for key, frame in (tables or {}).items()})
    return path


def write_answers(
    run: Path, table: pl.DataFrame, right: dict[str, dict[str, int]], wrong: str = "no idea"
) -> None:
    """Write `answers/MODEL-test` and `answers/MODEL-dev` for every model of `right`."""
    for model, counts in right.items():
        for split in ("dev", "test"):
            frame = answers(table, counts, split, wrong)
            stage(run / "answers" / f"{model}-{split}", "evaluate", {"answers": frame})


def probe(table: pl.DataFrame) -> pl.DataFrame:
    """Fact i has level i % 5, with probability 0.9, the rest on its neighbour."""
    rows = []
    for row in table.to_dicts():
        level = int(row["subject"].rsplit(" ", 1)[1]) % 5
        masses = [0.0] * 5
        masses[level], masses[(level + 1) % 5] = 0.9, 0.1
        rows.append({"fact_id": row["fact_id"], "recall": level / 4, "level": level,
                     "level_probs": masses})  # fmt: skip
    return pl.DataFrame(rows).cast({"level": pl.Int8})


def build_run(
    run: Path, per_relation: int = 10, hostile: str | None = None, weights: bool = True
) -> Path:
    """Write a whole made-up run; without `weights` drift, diff and search are missing."""
    table = facts(per_relation, hostile)
    stage(run / "facts", "facts", {"facts": table})
    stage(run / "probe", "probe", {"probe": probe(table)})
    receipt = {
        "size": 60,
        "levels": [1, 2, 3],
        "seed": 0,
        "examples": 60,
        "per_level": {"1": 20, "2": 20, "3": 20},
        "most_common_answer": {"answer": hostile or "Euro", "share": 0.1},
        "per_level_and_relation": [{"level": 1, "relation": "capital", "len": 20}],
    }
    stage(run / "selection", "select", files={"receipt": receipt})
    write_answers(run, table, RIGHT, wrong=hostile or "no idea")
    if weights:
        _weights(run, table)
    return run


def _weights(run: Path, table: pl.DataFrame) -> None:
    tested = table.filter(pl.col("split") == "test").select("fact_id", "relation", "domain")
    drift = tested.with_columns(
        kl_top10=pl.int_range(pl.len()) * 0.1, kl_tuned_base=pl.int_range(pl.len()) * 0.05
    )
    stage(run / "drift", "drift", {"drift": drift})
    blocks = ("q", "k", "v", "o", "gate", "up", "down")
    changes = [
        {"tensor": f"layers.{layer}.{block}", "numel": 100, "changed": 90 - layer,
         "sum_abs": 1.0, "sum_squared": 1e-8 * (1 + layer * (block in {"down", "v"})),
         "sum_relative": 1.0, "layer": layer, "block": block}
        for layer in range(8) for block in blocks
    ]  # fmt: skip
    shares = [
        {"top_percent": top, "measure": measure, "share": share, "null_permutation": share * 0.97,
         "null_gaussian": share * 0.9}
        for measure, scale in (("relative", 1.0), ("absolute", 0.3))
        for top, share in ((1.0, 0.5 * scale), (5.0, 0.75 * scale), (20.0, 0.95 * scale))
    ]  # fmt: skip
    shares.append({"top_percent": 40.0, "measure": "relative", "share": None,
                   "null_permutation": None, "null_gaussian": None})  # fmt: skip
    totals = {"changed": 4830, "weights": 5600, "share_changed": 0.8625, "update_norm": 0.1,
              "base_norm": 10.0}  # fmt: skip
    stage(run / "diff", "diff", {"weight_changes": pl.DataFrame(changes),
                                 "concentration": pl.DataFrame(shares)},
          {"changes": totals})  # fmt: skip
    candidates = [
        {"family": family, "percent": amount if family != "interpolate" else None,
         "alpha": amount / 100 if family == "interpolate" else None,
         "remaining_norm": 1 - amount / 100 * slope, "accuracy": 0.6 - amount / 200 * slope,
         "low": 0.5 - amount / 200 * slope, "high": 0.7 - amount / 200 * slope}
        for family, slope in (("relative", 0.6), ("random", 0.5), ("interpolate", 1.0))
        for amount in (5.0, 20.0, 40.0, 60.0)
    ]  # fmt: skip
    candidates = [{"candidate": i, "n": 120, **row} for i, row in enumerate(candidates)]
    chosen = next(row for row in candidates if (row["family"], row["percent"]) == CHOSEN)
    stage(
        run / "search",
        "search",
        {"candidates": pl.DataFrame(candidates), "curve": curve(candidates)},
        {"chosen": chosen},
    )


def curve(candidates: list[dict[str, Any]]) -> pl.DataFrame:
    """The curve of made-up candidates: a quarter of their facts, five points less accuracy."""
    rows = [
        {"family": row["family"], "candidate": row["candidate"], "n": row["n"] // 4,
         "remaining_norm": row["remaining_norm"], "accuracy": row["accuracy"] - 0.05,
         "low": row["low"] - 0.1, "high": row["high"], "over_tuned": -0.01,
         "over_tuned_low": -0.03, "over_tuned_high": 0.01}
        for row in candidates
    ]  # fmt: skip
    return pl.DataFrame(rows)


def arm(
    name: str, over_tuned: float | None, over_interpolation: float | None, p: float
) -> dict[str, Any]:
    """One row of the table `test` of a search, with both its differences and their p."""
    row: dict[str, Any] = {
        "arm": name,
        "domain": "in",
        "setting": "",
        "remaining_norm": 0.9,
        "n": 100,
    }
    row |= {"accuracy": 0.6, "low": 0.5, "high": 0.7, "hit": 0.6, "level_4": None, "level_4_n": 0}
    for reference, value in (("tuned", over_tuned), ("interpolation", over_interpolation)):
        none = value is None
        row |= {
            f"{reference}_difference": value,
            f"{reference}_low": None if none else value - 0.01,
            f"{reference}_high": None if none else value + 0.01,
            f"{reference}_p": None if none else p / 2,
            f"{reference}_p_holm": None if none else p,
            f"{reference}_could_see": None if none else 0.05,
        }
    return row
