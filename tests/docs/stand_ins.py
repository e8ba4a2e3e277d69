"""What the names used in the documentation stand for while its commands are executed.

`build_world` prepares a folder once: small planted models, their facts, probes, training sets,
answers, and tables a user might have. Every page works in a copy of it, so a name means the same
everywhere until a command of the page writes to it. `embedded` and `atlas` are stood in for in the
cache, where the program looks for them; so commands run as they are written.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import polars as pl
from fenced import ROOT

from sixtyfold.cli import run_command
from sixtyfold.core import embedded
from sixtyfold.sources import built_atlas

PLANT = "--subjects 240 --relations 4 --exposures 0 2 24 --passes 2 --learning-rate 2e-3"
#: Relations of EntityQuestions that stand for the planted ones, by domain.
_RELATIONS = {"in": ("P17", "P36", "P131"), "out": ("P50",)}
_LADDER = "--size 20,60 --replicas 3 --short fill"
#: Other names for what was prepared.
_ALSO = {
    "planted": ("BASE", "B", "MODEL", "base", "FACTS", "facts", "meta-llama/Llama-3.2-1B"),
    "tuned": ("TUNED", "T"),
    "probed": ("p", "probe"),
    "selection": ("s", "set"),
}


def command(line: str) -> None:
    """Run one of the commands that prepare the world."""
    assert run_command(line.split()) == 0, line


def build_world(folder: Path, cache: Path) -> Path:
    """Prepare everything in `folder`, and the cache; both must be empty. Return the folder."""
    before = Path.cwd()
    folder.mkdir(parents=True)
    os.chdir(folder)
    try:
        command(f"plant {PLANT} --out planted")
        _fill_cache(folder / "planted", cache)
        command("probe --model planted --facts planted --templates 2 --out probed")
        command("select --facts planted --probe probed --size 60 --short fill --out selection")
        command(f"select --facts planted --probe probed {_LADDER} --out sets")
        for seed, out in enumerate(("tuned", "tuned-2")):
            command(f"tune --model planted --selection selection --seed {seed} --out {out}")
        command("tune --model planted --selection selection --lora-rank 4 --keep-adapter --out l")
        shutil.move("l/adapter", "adapter")
        shutil.rmtree("l")
        for name in ("planted", "tuned"):
            out = {"planted": "base"}.get(name, name)
            command(f"evaluate --model {name} --facts planted --split test --out answers/{out}")
        for name, others in _ALSO.items():
            for other in others:
                shutil.copytree(name, other)
        _tables(pl.read_parquet("planted/facts.parquet"))
        _pickles(Path("tuned"))
        for name in ("examples", "docs/studies"):
            shutil.copytree(ROOT / name, name, ignore=shutil.ignore_patterns("*.py", "*.md"))
        _study(Path("sizes.yaml"))
    finally:
        os.chdir(before)
    return folder


def _fill_cache(planted: Path, cache: Path) -> None:
    """Put a planted model and its facts where the embedded model and the atlas are looked for."""
    name = f"smollm2-135m-instruct-{embedded.WHEEL_SHA256[:12]}-v{embedded._CONVERSION}"
    shutil.copytree(planted, cache / name)
    atlas = cache / "atlas" / built_atlas._key()
    atlas.mkdir(parents=True)
    for table in ("facts.parquet", "templates.parquet"):
        shutil.copy(planted / table, atlas / table)
    assert embedded.embedded_directory() == cache / name


def _tables(facts: pl.DataFrame) -> None:
    """Write tables and files as users have them."""
    plain = facts.select("question", answer=pl.col("objects").list.first())
    some = plain.head(200)
    for name in ("my_questions.csv", "my.csv"):
        some.write_csv(name)
    some.rename({"question": "ask", "answer": "solution"}).write_csv("quiz.csv")
    rows = plain.head(90).rename({"question": "prompt", "answer": "completion"})
    for name in ("train.jsonl", "my_sft.jsonl"):
        rows.write_ndjson(name)
    for name in ("base", "tuned"):
        answers = pl.read_parquet(f"answers/{name}/answers.parquet")
        answers.select("fact_id", "hit").write_csv(f"{name}.csv")
    _entity_questions(facts, Path("DIR"))


def _entity_questions(facts: pl.DataFrame, folder: Path) -> None:
    """Write planted facts in the form of EntityQuestions, one relation for another."""
    for domain, names in _RELATIONS.items():
        here = facts.filter(domain=domain)
        relations = here["relation"].unique().sort().to_list()
        for code, relation in zip(names, relations, strict=True):
            for (split,), rows in here.filter(relation=relation).head(170).group_by("split"):
                path = folder / str(split) / f"{code}.{split}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(_records(code, rows)), encoding="utf-8")


def _records(code: str, rows: pl.DataFrame) -> list[dict[str, Any]]:
    words = {
        "P17": "Which country is {} located in?",
        "P36": "What is the capital of {}?",
        "P131": "Where is {} located?",
        "P50": "Who is the author of {}?",
    }
    return [
        {"question": words[code].format(row["subject"]), "answers": row["objects"]}
        for row in rows.iter_rows(named=True)
    ]


def _pickles(tuned: Path) -> None:
    import torch
    from safetensors.torch import load_file

    weights = load_file(tuned / "model.safetensors")
    for name in ("run.pt-folder", "pickled"):
        shutil.copytree(tuned, name, ignore=shutil.ignore_patterns("*.safetensors"))
        torch.save(weights, Path(name) / "model.pt")


def _study(path: Path) -> None:
    path.write_text(
        "name: sizes\nstore: runs/store\nmodels: [embedded]\n"
        "facts: {facts: atlas, train: 320, dev: 40, test: 60}\n"
        "probe: {templates: 2}\nseeds: [0, 1]\n"
        "grids:\n  - name: sizes\n    select: {size: [60, 240], short: fill}\n"
        "    search: [{families: [relative, interpolation], top: [5, 20], halvings: 0}]\n",
        encoding="utf-8",
    )
