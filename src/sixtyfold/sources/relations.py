"""The data files of this package: relations with their questions and cloze templates."""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

import yaml


@functools.cache
def read_data(name: str) -> dict[str, Any]:
    """Return a YAML file of this package; do not change what is returned."""
    text = (files("sixtyfold.sources") / "data" / name).read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def question_templates() -> tuple[str, ...]:
    """Return the templates that ask a fact's question, for facts without cloze templates."""
    return tuple(read_data("question_templates.yaml")["templates"])
