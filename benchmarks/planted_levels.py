"""Recall and levels of planted models by how often their facts were seen.

    python benchmarks/planted_levels.py runs/planted/*

Probes each model over `--limit` of its facts through 5 templates, and prints a table as in
docs/plant.md, with the seconds of planting and probe, and how many training facts of each level
all of its facts would give.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import polars as pl

from sixtyfold.core.stage import Finished, finished
from sixtyfold.stages.probe.run import run as probe
from sixtyfold.stages.probe.spec import ProbeSpec

LEVELS = range(5)


def by_exposure(planted: Finished, probed: Finished) -> pl.DataFrame:
    """Return times_seen, facts, mean recall, and the facts of each level."""
    joined = probed.table("probe").join(planted.table("exposures"), on="fact_id")
    counts = [(pl.col("level") == level).sum().alias(f"level {level}") for level in LEVELS]
    return (
        joined.group_by("times_seen")
        .agg(pl.len().alias("facts"), pl.mean("recall").round(3), *counts)
        .sort("times_seen")
    )


def training_facts(planted: Finished, probed: Finished) -> list[int]:
    """Return how many training facts of each level all of the model's facts would give, about."""
    facts = planted.table("facts").select("fact_id", "split")
    joined = probed.table("probe").join(facts, on="fact_id")
    share = planted.manifest["rows"]["facts"] / joined.height
    levels = joined.filter(split="train")["level"]
    return [round(share * int((levels == level).sum())) for level in LEVELS]


def main() -> None:
    """Print the tables of the models named."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("models", nargs="+", type=Path)
    arguments.add_argument("--limit", type=int, default=1000)
    options = arguments.parse_args()
    for path in options.models:
        planted = finished(path, "plant")
        with tempfile.TemporaryDirectory() as folder:
            spec = ProbeSpec(
                model=str(path), facts=str(path), out=Path(folder) / "probe", templates=5,
                limit=options.limit, max_new_tokens=8, dtype="float32",
            )  # fmt: skip
            start = time.monotonic()
            probed = probe(spec)
            seconds = time.monotonic() - start
            print(
                f"\n{path.name}: planted in {planted.json('timings')['total']:.0f} s, "
                f"{probed.manifest['rows']['probe']} facts probed in {seconds:.0f} s; "
                f"training facts of levels 0 to 4, about: {training_facts(planted, probed)}"
            )
            with pl.Config(
                tbl_formatting="MARKDOWN",
                tbl_hide_column_data_types=True,
                tbl_rows=-1,
                tbl_hide_dataframe_shape=True,
            ):
                print(by_exposure(planted, probed))


if __name__ == "__main__":
    main()
