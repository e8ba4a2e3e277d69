"""The few words the explorer makes up: labels of runs, protocols of probes, times."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

STATES = {"lost": "▼ lost", "gained": "▲ gained", "kept": "● kept", "never": "○ never"}
"""What became of a fact, with a sign, so that colour is never the only difference."""


def protocol_of(spec: Mapping[str, Any]) -> str:
    """Return how a probe measured, from the options it recorded.

    >>> protocol_of({"estimator": "survival", "match": "standard", "templates": 7})
    'estimator survival, match standard, templates 7'
    """
    named = ("estimator", "draws", "match", "templates", "temperature", "seed")
    return ", ".join(f"{name} {spec[name]}" for name in named if spec.get(name) is not None)


def cell_label(cell: Mapping[str, Any], varied: frozenset[str]) -> str:
    """Return what a run of a study is called: only what differs within its study is said.

    Args:
        cell: a row in the columns of `CELLS_SCHEMA`.
        varied: columns, and names of options, that are not the same in all cells of the study.

    >>> cell_label({"grid": "g", "size": "60", "seed": 1, "options": "{}"}, frozenset({"seed"}))
    'g · size 60 · seed 1'
    """
    words = []
    if "model" in varied and cell.get("model"):
        words.append(str(cell["model"]))
    words.append(str(cell.get("grid") or "shared"))
    for name in ("size", "levels", "learning_rate", "seed"):
        value = cell.get(name)
        if value is not None and (name in varied or name == "size"):
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            words.append(f"{name.replace('_', ' ')} {shown}")
    options = json.loads(cell.get("options") or "{}")
    words += [f"{name} {value}" for name, value in options.items() if name in varied]
    return " · ".join(words)


def asked_how(spec: Mapping[str, Any]) -> str:
    """Return in which way a model was asked, where it was not plainly.

    >>> asked_how({"prompt_form": "plain", "shots": 4}), asked_how({"prompt_form": "chat"})
    ('4 worked examples', 'chat')
    """
    words = [] if spec.get("prompt_form", "plain") == "plain" else [str(spec["prompt_form"])]
    if spec.get("shots"):
        words.append(f"{spec['shots']} worked examples")
    return ", ".join(words)


def when(seconds: float | None) -> str:
    """Return a time as date and minute of this machine; nothing where it is not known.

    >>> when(None)
    ''
    """
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def percent(share: float | None) -> str:
    """Return a share as percent.

    >>> percent(0.4567), percent(None)
    ('45.7%', '–')
    """
    return "–" if share is None else f"{100 * share:.1f}%"
