"""The README of a restored checkpoint: which weights went back, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sixtyfold.core.model_card import (
    Card,
    Section,
    code,
    fenced,
    licence_words,
    listed,
    loading,
    not_measured,
    origin_words,
    versions,
    write_card,
)
from sixtyfold.core.model_origin import origin
from sixtyfold.core.pair_models import PairModels
from sixtyfold.core.prompts import PromptOptions
from sixtyfold.core.repeatable_command import command, place
from sixtyfold.core.stage import finished
from sixtyfold.stages.restore.rules import RULES
from sixtyfold.stages.restore.spec import RestoreSpec

PATCH = "This directory is a patch"
"""Heading of a section that the checkpoint made of a patch does not have."""

_FORM = ("as_patch", "patch_values")


def write_restored_card(
    spec: RestoreSpec,
    models: PairModels,
    totals: Mapping[str, int | float],
    notes: Sequence[str],
) -> None:
    """Write the README of a restored checkpoint, or of the patch it is made from.

    Args:
        spec: how it was restored, one share at most.
        models: base and tuned.
        totals: sums of `restored_weights`.
        notes: what the stage found worth telling.
    """
    base = origin(spec.base, models.base, models.inputs["base"])
    tuned = origin(spec.tuned, models.tuned, models.inputs["tuned"])
    about = (
        f"This is {origin_words(tuned)} with {_what(spec, totals)}. The base is "
        f"{origin_words(base)}. Made with `sixtyfold restore`."
    )
    measure = "sixtyfold evaluate --model . --facts FACTS --split test --out OUT"
    write_card(
        spec.out,
        Card(
            title=f"{code(tuned.name)} with weights put back",
            about=[about, licence_words([tuned, base])],
            origins=[tuned, base],
            tags=["restored"],
            sections=[
                *_of_a_patch(spec),
                Section("What was put back", _put_back(spec, totals, notes)),
                not_measured(measure),
                Section("How to load", loading(_prompt(models))),
                Section("How to repeat", _repeat(spec)),
            ],
        ),
    )


def _what(spec: RestoreSpec, totals: Mapping[str, int | float]) -> str:
    region = f"the region {code(spec.where)}"
    if spec.alpha is not None:
        return f"every update of {region} shrunk to {spec.alpha:g} of itself"
    if spec.remaining is not None:
        return f"the update of {region} shrunk to {spec.remaining:g} of its norm (rule {spec.rule})"
    within = "" if spec.scope == "model" else f" within each {spec.scope}"
    share = f"{spec.percents[0]:g}%{within}, rule {spec.rule}"
    counts = f"{totals['restored']:,} of {totals['numel']:,} weights"
    return f"{counts} of {region} ({share}) put back to the base"


def _put_back(
    spec: RestoreSpec, totals: Mapping[str, int | float], notes: Sequence[str]
) -> list[str]:
    untouched = "that were not put back" if spec.rule in RULES else "outside the region"
    counts = f"{totals['restored']:,} of {totals['numel']:,} weights of the region put back"
    told = [
        f"{counts}; {totals['moved']:,} of them had moved",
        f"norm of what is left of the update: {totals['remaining_norm']:.4g}",
        f"Weights {untouched} are the tuned model's bit for bit.",
        *(f"Note: {note}." for note in notes),
        "`restored_weights.parquet` says how many weights of each tensor were put back.",
    ]
    return [listed(told)]


def _of_a_patch(spec: RestoreSpec) -> list[Section]:
    """Say how a patch becomes the checkpoint that the rest of the card is about."""
    if not spec.as_patch:
        return []
    base, tuned = place(spec.base, "BASE"), place(spec.tuned, "TUNED")
    places = {"patch": ".", "base": base, "tuned": tuned, "out": "OUT"}
    made = command("rebuild", dict.fromkeys(places, ""), places)
    words = "It holds the checkpoint that the rest of this card is about. This writes it:"
    return [Section(PATCH, [words, fenced("bash", made)])]


def _prompt(models: PairModels) -> PromptOptions | None:
    """Return how the tuned model was asked in training, where its manifest says so."""
    if not (models.tuned / "manifest.json").is_file():
        return None
    made = finished(models.tuned).manifest
    if made["stage"] != "tune":
        return None
    return PromptOptions.parse({name: made["spec"][name] for name in PromptOptions.model_fields})


def _repeat(spec: RestoreSpec) -> list[str]:
    places = {
        "base": place(spec.base, "BASE"),
        "tuned": place(spec.tuned, "TUNED"),
        "out": "OUT",
    }
    options = {name: v for name, v in spec.recorded().items() if name not in _FORM}
    return [
        "Words in capitals stand for places of your own: the models named at the top.",
        fenced("bash", command("restore", options, places)),
        f"{versions()} `manifest.json` holds all settings and fingerprints.",
    ]
