"""Recall and levels of planted models by how often their facts were seen.

    python benchmarks/planted_levels.py runs/planted/*
    python benchmarks/planted_levels.py runs/planted/* --store runs/planted-store

Probes each model over `--limit` of its facts through 5 templates, or takes the probe that a study
has in its store, and prints a table as in docs/plant.md, with the seconds of planting and probe,
and how many training facts of each level all of its facts would give.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import polars as pl

from sixtyfold.core.models import model_fingerprint
from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.probe.run import run as probe
from sixtyfold.stages.probe.spec import ProbeSpec

LEVELS = range(5)


def by_exposure(planted: Finished, probed: Finished) -> pl.DataFrame:
    """Return times_seen, facts, mean recall with its 95% interval, and the facts of each level."""
    joined = probed.table("probe").join(planted.table("exposures"), on="fact_id")
    counts = [(pl.col("level") == level).sum().alias(f"level {level}") for level in LEVELS]
    error = 1.96 * pl.std("recall") / pl.len().sqrt()
    return (
        joined.group_by(pl.col("times_seen") * planted.manifest["spec"]["passes"])
        .agg(
            pl.len().alias("facts"), pl.mean("recall").round(3), error.round(3).alias("±"), *counts
        )
        .sort("times_seen")
    )


def training_facts(planted: Finished, probed: Finished) -> list[int]:
    """Return how many training facts of each level all of the model's facts would give, about."""
    training = planted.table("facts").filter(split="train").select("fact_id")
    levels = probed.table("probe").join(training, on="fact_id")["level"]
    share = training.height / levels.len()
    return [round(share * int((levels == level).sum())) for level in LEVELS]


def probe_in(store: Path, model: Path) -> Finished:
    """Return the probe of a model that a study made."""
    wanted = model_fingerprint(model)
    for place in sorted((store / "results" / "probe").iterdir()):
        found = finished(place, "probe")
        if found.manifest["inputs"]["model"] == wanted:
            return found
    raise SystemExit(f"no probe of {model} in {store}; run the study, or leave --store out")


def probed_now(model: Path, limit: int, out: Path) -> Finished:
    """Probe a model over some of its facts."""
    return probe(
        ProbeSpec(
            model=str(model), facts=str(model), out=out, templates=5, limit=limit,
            max_new_tokens=8, dtype="float32",
        )
    )  # fmt: skip


def show(model: Path, probed: Finished) -> None:
    """Print what is known of one model."""
    planted = finished(model, "plant")
    print(
        f"\n{model.name}: planted in {planted.json('timings')['total']:.0f} s, "
        f"{probed.manifest['rows']['probe']} facts probed in "
        f"{probed.json('timings')['total']:.0f} s; "
        f"training facts of levels 0 to 4, about: {training_facts(planted, probed)}"
    )
    with pl.Config(
        tbl_formatting="MARKDOWN", tbl_hide_column_data_types=True, tbl_rows=-1, tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
    ):  # fmt: skip
        print(by_exposure(planted, probed))


def main() -> None:
    """Print the tables of the models named."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("models", nargs="+", type=Path)
    arguments.add_argument("--limit", type=int, default=1000)
    arguments.add_argument("--store", type=Path, help="store of a study that probed the models")
    options = arguments.parse_args()
    for model in options.models:
        if options.store is not None:
            show(model, probe_in(options.store, model))
            continue
        with tempfile.TemporaryDirectory() as folder:
            show(model, probed_now(model, options.limit, Path(folder) / "probe"))


if __name__ == "__main__":
    main()
