"""Where a model comes from: its name, its place on the Hugging Face hub and its licence.

Read from what a user called it and from the header of its own README. Nothing is asked of the
network, and no directory of this machine is named but by its last part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.checkpoint import CONFIG
from sixtyfold.core.embedded import LICENCE

CARD = "README.md"
_EMBEDDED = "HuggingFaceTB/SmolLM2-135M-Instruct"
_LICENCE_FIELDS = ("license", "license_name", "license_link")
_LONGEST = 200  # characters of a field that is carried over
_CACHED = "models--"  # how the hub's cache names the folder of a repository


class Origin(NamedTuple):
    """A model that another one is made from."""

    name: str
    """What it is called: the hub's id, or the last part of its path."""
    hub_id: str | None
    """Its own id on the hub, or that of the nearest model it comes from; None where unknown."""
    licence: Mapping[str, str]
    """The fields `license`, `license_name` and `license_link` as its own card states them."""
    fingerprint: str
    """Of its contents."""


def origin(reference: str, directory: Path, fingerprint: str) -> Origin:
    """Describe a model.

    Args:
        reference: what the user called it: `embedded`, a directory, a GGUF file or a hub id.
        directory: where its files are.
        fingerprint: of its contents.
    """
    if reference == "embedded":
        name = f"{_EMBEDDED.split('/')[1]}, 4-bit weights turned back into float32"
        return Origin(name, _EMBEDDED, {"license": LICENCE}, fingerprint)
    header = card_header(directory)
    licence = _licence(header, directory)
    if not Path(reference).exists():
        return Origin(reference, reference, licence, fingerprint)
    own = _cached_id(directory)
    return Origin(
        own or Path(reference).resolve().name,
        own or _hub_id(header.get("base_model")),
        licence,
        fingerprint,
    )


def card_header(directory: Path) -> dict[str, Any]:
    """Return the YAML header of a model's README, empty where there is none that can be read."""
    import yaml
    from huggingface_hub import ModelCard

    path = directory / CARD
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    if not text.lstrip().startswith("---"):
        return {}
    try:
        return dict(ModelCard(text, ignore_metadata_errors=True).data.to_dict())  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, yaml.YAMLError):
        return {}


def is_hub_id(value: object) -> bool:
    """Whether a value can be the id of a repository, with its owner.

    >>> is_hub_id("HuggingFaceTB/SmolLM2-135M"), is_hub_id("/tmp/model"), is_hub_id(None)
    (True, False, False)
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if not isinstance(value, str) or value.count("/") != 1:
        return False
    try:
        validate_repo_id(value)
    except HFValidationError:
        return False
    return True


def _hub_id(stated: object) -> str | None:
    """Return the id that a header's `base_model` states, the first of several."""
    first = stated[0] if isinstance(stated, list) and stated else stated
    return first if isinstance(first, str) and is_hub_id(first) else None


def _cached_id(directory: Path) -> str | None:
    """Return the id of a model that lies in the hub's cache.

    >>> _cached_id(Path("hub/models--org--name/snapshots/1234"))
    'org/name'
    """
    for part in directory.parts:
        if part.startswith(_CACHED):
            return part.removeprefix(_CACHED).replace("--", "/")
    return None


def _licence(header: Mapping[str, Any], directory: Path) -> dict[str, str]:
    """Return the licence as the card states it, else as `config.json` does."""
    if isinstance(header.get("license"), str):
        found = {
            name: header[name] for name in _LICENCE_FIELDS if isinstance(header.get(name), str)
        }
    else:
        found = {"license": _stated_in_config(directory)}
    kept = {name: " ".join(value.split())[:_LONGEST] for name, value in found.items()}
    if not kept.get("license_link", "https://").startswith("https://"):
        kept.pop("license_link")  # a file of another repository
    return {name: value for name, value in kept.items() if value}


def _stated_in_config(directory: Path) -> str:
    try:
        stated = json.loads((directory / CONFIG).read_text(encoding="utf-8")).get("license")
    except (OSError, ValueError, AttributeError):
        return ""
    return stated if isinstance(stated, str) else ""
