"""What a study file names, found and fingerprinted, so that changed contents give other keys."""

from __future__ import annotations

import json
from pathlib import Path

from sixtyfold.core.models import model_directory, model_fingerprint
from sixtyfold.sources.open import open_facts
from sixtyfold.sources.spec import FactsBuildSpec
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.plan import Inputs

_WORDS = ("embedded", "atlas")
"""References that name no place, whatever lies in a directory of that name."""


def find_inputs(study: StudyFile) -> Inputs:
    """Open the fact set and the models of a study.

    Raises:
        BadInput: one of them cannot be opened.
    """
    options = {**study.facts, "out": "..."}
    reference = str(options.get("facts", "atlas"))
    facts = open_facts(reference, FactsBuildSpec.parse(options).read_options())
    models, chat = {}, set()
    for entry in study.models:
        directory = model_directory(entry.model, entry.options.get("revision"))
        models[entry.name] = Place(_absolute(entry.model), model_fingerprint(directory))
        settings = directory / "tokenizer_config.json"
        inside = settings.is_file() and "chat_template" in json.loads(settings.read_text("utf-8"))
        if inside or (directory / "chat_template.jinja").is_file():
            chat.add(entry.name)
    return Inputs(Place(_absolute(reference), facts.fingerprint), models, frozenset(chat))


def _absolute(reference: str) -> str:
    """Return what leads to the same from any directory: a worker may stand in another one."""
    if reference in _WORDS:
        return reference
    kind, colon, place = reference.rpartition(":")
    return f"{kind}{colon}{Path(place).absolute()}" if Path(place).exists() else reference
