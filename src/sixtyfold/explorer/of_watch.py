"""A catalogue of what a watch wrote while a model trained: one run a step."""

from __future__ import annotations

import re
from pathlib import Path

from sixtyfold.explorer.catalogue import Catalogue, Run

_STEP = re.compile(r"answers-(\d+)\.parquet")


def is_watch(folder: Path) -> bool:
    """Whether a folder holds the answers of a watch."""
    return any(_STEP.fullmatch(path.name) for path in folder.glob("answers-*.parquet"))


def catalogue_of_watch(folder: Path) -> Catalogue:
    """Return the steps of a watch; the first stands for the model before it was trained."""
    steps = sorted(
        (int(found[1]), path)
        for path in folder.glob("answers-*.parquet")
        if (found := _STEP.fullmatch(path.name))
    )
    first = f"step {steps[0][0]}"
    runs = [
        Run(
            name=f"step {step}",
            label=f"step {step}",
            group="",
            order=(step,),
            split="watched",
            path=path,
            is_base=number == 0,
            base=first,
            recorded=path.stat().st_mtime,
        )
        for number, (step, path) in enumerate(steps)
    ]
    return Catalogue(str(folder), {each.name: each for each in runs}, {}, {}, {})
