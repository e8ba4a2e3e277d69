"""From YAML to a study: the user's file, on top of a shipped one where it says `extends: NAME`."""

from __future__ import annotations

import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sixtyfold.core.errors import BadInput, suggestion
from sixtyfold.study.file import StudyFile
from sixtyfold.study.options import Options

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def read_study(path: Path) -> StudyFile:
    """Read and check a study file.

    `extends: NAME` takes a shipped study (`ye2024`, `ye2025`) and replaces what the file says; a
    section given as a mapping replaces single options. `${NAME}` in a text is taken from the
    environment, so that a file need not hold the places of one machine.

    Raises:
        BadInput: there is no such file, it is not YAML, or an option in it is not allowed; the
            message names file and option.
    """
    values = _expanded(_read_yaml(path), path)
    preset = values.pop("extends", None)
    if preset is not None:
        values = _merged(_preset(str(preset), path), values)
    try:
        return StudyFile.model_validate(values)
    except ValidationError as error:
        raise BadInput(f"{path}: {_explained(error)}") from None


def _explained(error: ValidationError) -> str:
    """Return the first complaint in words, without the section where the words name it."""
    first = error.errors()[0]
    if first["type"] == "value_error" and isinstance(first["input"], dict):
        return str(first["ctx"]["error"])
    if first["type"] == "tuple_type":
        return f"{'.'.join(map(str, first['loc']))} was given {first['input']!r}; allowed: a list"
    return StudyFile.explain(error)


def _expanded(value: Any, path: Path) -> Any:
    """Return YAML values with `${NAME}` in texts replaced.

    Raises:
        BadInput: there is no such environment variable.
    """
    if isinstance(value, dict):
        return {name: _expanded(each, path) for name, each in value.items()}
    if isinstance(value, list):
        return [_expanded(each, path) for each in value]
    if not isinstance(value, str):
        return value
    for name in _VARIABLE.findall(value):
        if name not in os.environ:
            raise BadInput(f"{path} asks for ${{{name}}}, which is not set; set {name}=...")
    return _VARIABLE.sub(lambda found: os.environ[found[1]], value)


def _read_yaml(path: Path) -> Options:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(
            f"there is no study file {path}; write one, from scratch or with 'extends:' and a "
            f"shipped one: {', '.join(presets())}"
        ) from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a study file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds no mapping; a study file starts with 'name: ...'")
    return values


def presets() -> list[str]:
    """Return the names of the shipped studies."""
    folder = resources.files("sixtyfold.study") / "presets"
    return sorted(each.name.removesuffix(".yaml") for each in folder.iterdir())


def _preset(name: str, path: Path) -> Options:
    if name not in presets():
        raise BadInput(
            f"{path}: extends {name!r}{suggestion(name, presets())}; "
            f"allowed: {', '.join(presets())}"
        )
    text = (resources.files("sixtyfold.study") / "presets" / f"{name}.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


def _merged(below: Options, above: Options) -> Options:
    """Return `below` with the values of `above`; mappings are merged, all else is replaced."""
    both = dict(below)
    for name, value in above.items():
        old = both.get(name)
        both[name] = (
            _merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return both
