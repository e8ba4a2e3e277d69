"""Stages of a study that compute nothing: they write tables of the right shape at once.

Each takes the real stage's spec. Answers follow from the seed, learning rate and size, so that
choices have a known outcome.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import polars as pl

from sixtyfold.core.accuracy import ANSWERS_SCHEMA
from sixtyfold.core.atomic_files import read_json
from sixtyfold.core.errors import BadInput
from sixtyfold.core.stage import Finished, finished, open_stage
from sixtyfold.study import stages

KINDS = ("facts", "probe", "select", "tune", "evaluate", "drift", "diff", "search", "compare")
FACTS = 20


def use(monkeypatch: Any) -> None:
    """Put toy stages in the place of the real ones."""
    for name in KINDS:
        kind = stages.STAGES[name]
        toy = kind._replace(function=f"toy_stages:{name}")
        monkeypatch.setitem(stages.STAGES, name, toy)


def _write(stage_name: str, spec: Any, tables: dict[str, pl.DataFrame], **files: Any) -> Finished:
    time.sleep(float(os.environ.get("TOY_PAUSE", "0")))
    with open_stage(stage_name, spec, files.pop("_inputs", {})) as stage:
        if stage.complete:
            return finished(spec.out, stage_name)
        for name, table in tables.items():
            stage.write_table(name, table)
        for name, value in files.items():
            stage.write_json(name, value)
        return stage.finish({name: table.height for name, table in tables.items()})


def facts(spec: Any) -> Finished:
    ids = [f"f{index:03d}" for index in range(FACTS)]
    return _write("facts", spec, {"facts": pl.DataFrame({"fact_id": ids})})


def probe(spec: Any) -> Finished:
    rows = {
        "fact_id": ["f000"],
        "recall": [0.5],
        "level": [2],
        "level_probs": [[0.0, 0.0, 1.0, 0.0, 0.0]],
    }
    return _write("probe", spec, {"probe": pl.DataFrame(rows)})


def select(spec: Any) -> Finished:
    rows = pl.DataFrame({"level": [4] * int(spec.size), "relation": ["r"] * int(spec.size)})
    return _write("select", spec, {"selection": rows}, size={"size": int(spec.size)})


def tune(spec: Any) -> Finished:
    finished(Path(spec.selection))
    spec.out.mkdir(parents=True, exist_ok=True)
    with open_stage("tune", spec, {}) as stage:
        if stage.complete:
            return finished(spec.out, "tune")
        size = read_json(Path(spec.selection) / "size.json")["size"]
        training = {"steps": size, "target_tokens": size, "examples": size, "losses": [1.0]}
        right = (spec.seed + size + round(1e5 * spec.learning_rate)) % FACTS
        (spec.out / "model.safetensors").write_bytes(b"weights" * 100)
        stage.write_json("training", training)
        stage.write_json("right", right)
        return stage.finish({})


def evaluate(spec: Any) -> Finished:
    right = Path(spec.model) / "right.json"
    if right.is_file():
        finished(Path(spec.model))
        assert (Path(spec.model) / "model.safetensors").is_file()
    count = read_json(right) if right.is_file() else 1
    rows = [
        {
            "fact_id": f"f{index:03d}", "relation": f"r{index % 2}", "domain": "in",
            "split": spec.split, "level": 4, "prompt": "", "answer": "", "hit": index < count,
            "exact": index < count, "f1": 0.0, "ended": True,
        }
        for index in range(FACTS)
    ]  # fmt: skip
    return _write("evaluate", spec, {"answers": pl.DataFrame(rows, schema=ANSWERS_SCHEMA)})


def drift(spec: Any) -> Finished:
    rows = {"split": ["all"], "group": ["all"], "measure": ["js"], "mean": [0.1], "low": [0.0],
            "high": [0.2], "n": [FACTS]}  # fmt: skip
    schema = {"group": pl.String}
    return _write("drift", spec, {"drift_summary": pl.DataFrame(rows, schema_overrides=schema)})


def failing(spec: Any) -> Finished:
    raise BadInput(f"{spec.out} is not to be")


def diff(spec: Any) -> Finished:
    names = ("share_changed", "sum_abs", "sum_relative", "update_norm", "base_norm")
    changes = {**dict.fromkeys(names, 1.0), "weights": 100}
    rows = {"measure": ["relative"], "top_percent": [1.0], "share": [0.5],
            "null_permutation": [0.4], "null_gaussian": [0.4], "weights": [100]}  # fmt: skip
    return _write("diff", spec, {"concentration": pl.DataFrame(rows)}, changes=changes)


def search(spec: Any) -> Finished:
    rows = {"family": ["relative"], "setting": ["5%"], "accuracy": [0.5], "low": [0.4],
            "high": [0.6], "n": [FACTS]}  # fmt: skip
    right = read_json(Path(spec.tuned) / "right.json")
    arms = {"tuned": right, "relative": right + 2, "interpolation": right + 1}
    asked = [
        {"arm": arm, "fact_id": f"f{index:03d}", "relation": f"r{index % 2}", "domain": "in",
         "hit": index < count}
        for arm, count in arms.items()
        for index in range(FACTS)
    ]  # fmt: skip
    tables = {"candidates": pl.DataFrame(rows), "test_answers": pl.DataFrame(asked)}
    return _write("search", spec, tables, _inputs={"tuned": str(spec.tuned)})


def compare(spec: Any) -> Finished:
    rows = {"domain": ["in"], "state": ["kept"]}
    found = {"value": 0.1, "low": 0.0, "high": 0.2, "n": FACTS}
    domains = {"in": {"micro": found, "these_relations": found}}
    tables = {"transitions": pl.DataFrame(rows)}
    return _write("compare", spec, tables, comparison={"domains": domains})


def use_everywhere() -> None:
    """Put toy stages in the place of the real ones in this process, for good."""
    for name in KINDS:
        kind = stages.STAGES[name]
        stages.STAGES[name] = kind._replace(function=f"toy_stages:{name}")
