"""The README of a planted model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sixtyfold.core.model_card import (
    Card,
    Section,
    code,
    fenced,
    listed,
    loading,
    not_measured,
    versions,
    write_card,
)
from sixtyfold.core.repeatable_command import command
from sixtyfold.stages.plant.spec import PlantSpec


def write_planted_card(folder: Path, spec: PlantSpec, described: dict[str, Any]) -> None:
    """Write the README of a planted model.

    Args:
        folder: the checkpoint's.
        spec: how it was planted.
        described: parameters, tokens, steps and last loss of its training.
    """
    about = (
        "A small model trained from scratch by `sixtyfold plant` on made-up facts, each told a "
        "known number of times. It is for experiments: outside those facts it knows nothing."
    )
    exposures = ", ".join(map(str, spec.exposures))
    relations = f"{spec.relations} relations ({spec.out_of_domain} out of domain)"
    tables = "`facts.parquet`, `templates.parquet` and `exposures.parquet`"
    data = [
        f"{spec.subjects} subjects, {relations}; facts told {exposures} times; seed {spec.seed}",
        f"{tables} hold them: the directory is also a fact set (`--facts`)",
    ]
    if spec.text is not None:
        data.append("a text file besides; its licence applies, and is not known here")
    training = (
        f"{described['parameters']:,} parameters, architecture {code(spec.architecture)}, "
        f"{described['tokens']:,} tokens in {described['steps']:,} steps, last loss "
        f"{described['last_loss']:.3f}."
    )
    repeat = command("plant", spec.recorded(), {"text": "TEXT", "out": "OUT"})
    measure = "sixtyfold evaluate --model . --facts . --split test --out OUT"
    write_card(
        folder,
        Card(
            title="A planted model",
            about=[about],
            origins=[],
            tags=["planted"],
            sections=[
                Section("Training data", [listed(data)]),
                Section("Training", [training]),
                not_measured(measure),
                Section("How to load", loading(None)),
                Section("How to repeat", [fenced("bash", repeat), versions()]),
            ],
        ),
    )
