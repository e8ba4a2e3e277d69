"""What a study file names, found and fingerprinted, so that changed contents give other keys."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sixtyfold.core.errors import BadInput
from sixtyfold.core.fingerprint import file_sha256
from sixtyfold.core.models import model_directory, model_fingerprint
from sixtyfold.sources.open import open_facts
from sixtyfold.sources.spec import FactsBuildSpec
from sixtyfold.study.file import StudyFile
from sixtyfold.study.jobs import Place
from sixtyfold.study.plan import Inputs
from sixtyfold.study.stages import FOLDERS

_WORDS = ("embedded", "atlas")
"""References that name no place, whatever lies in a directory of that name."""


def find_inputs(study: StudyFile) -> Inputs:
    """Open the fact set, the models and the folders of a study.

    Raises:
        BadInput: one of them cannot be opened, or is no folder where it must be.
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
    folders = {
        str(options[name]): Place(_absolute(str(options[name])), folder_fingerprint(options[name]))
        for grid in study.grids
        for options in grid.search or ()
        for name in FOLDERS["search"]
        if options.get(name) is not None
    }
    facts_place = Place(_absolute(reference), facts.fingerprint)
    return Inputs(facts_place, models, frozenset(chat), folders)


def folder_fingerprint(folder: str | Path) -> str:
    """Return the fingerprint of all files below a folder, names and contents.

    What Python writes beside code, and names that begin with a dot, are left out.

    Raises:
        BadInput: there is no such folder.
    """
    root, total = Path(folder), hashlib.sha256()
    if not root.is_dir():
        raise BadInput(f"there is no folder {folder}; give the folder with the task's YAML file")
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        name = path.relative_to(root)
        if not any(part.startswith((".", "__pycache__")) for part in name.parts):
            total.update(f"{name.as_posix()}\x1f{file_sha256(path)}\x1e".encode())
    return total.hexdigest()[:16]


def _absolute(reference: str) -> str:
    """Return what leads to the same from any directory: a worker may stand in another one."""
    if reference in _WORDS:
        return reference
    kind, colon, place = reference.rpartition(":")
    return f"{kind}{colon}{Path(place).absolute()}" if Path(place).exists() else reference
