"""Where a model comes from: its name, its place on the Hugging Face hub and its licence.

Read from what a user called it and from the header of its own README. Nothing is asked of the
network, and no directory of this machine is named but by its last part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sixtyfold.core.checkpoint import CONFIG
from sixtyfold.core.embedded import LICENCE

CARD = "README.md"
_EMBEDDED = "HuggingFaceTB/SmolLM2-135M-Instruct"
_HUB = "https://huggingface.co"
_LICENCE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{,99}")
_LINK = re.compile(r"https://[A-Za-z0-9._~:/?#@!$&()*+,;=%-]{1,200}")
_CACHED = "models--"  # how the hub's cache names the folder of a repository


class Origin(NamedTuple):
    """A model that another one is made from."""

    name: str
    """What it is called: the hub's id, or the last part of its path."""
    hub_id: str | None
    """Its own id on the hub, or that of the nearest model it comes from; None where unknown."""
    licence: Mapping[str, str]
    """The fields `license`, `license_name` and `license_link`, in the form that the hub takes."""
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
    own = _cached_id(directory) if Path(reference).exists() else reference
    licence = _licence(header, directory, own)
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
    return isinstance(value, str) and value.count("/") == 1 and _is_valid_id(value)


def _is_valid_id(value: str) -> bool:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

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
        found = part.removeprefix(_CACHED).replace("--", "/")
        if part.startswith(_CACHED) and _is_valid_id(found):
            return found
    return None


def _licence(header: Mapping[str, Any], directory: Path, own: str | None) -> dict[str, str]:
    """Return the licence as the card states it, else as `config.json` does.

    The hub takes its own short names of licences. Any other is `other` with a name, and a link; so
    are several at once, whose names are joined.
    """
    stated = header.get("license")
    if isinstance(stated, list) and stated and all(isinstance(each, str) for each in stated):
        stated = " ".join(stated)
    if not isinstance(stated, str):
        stated, header = _stated_in_config(directory), {}
    if not stated.strip():
        return {}
    if _LICENCE_ID.fullmatch(stated):
        found = {"license": stated.lower(), "license_name": header.get("license_name")}
    else:
        found = {"license": "other", "license_name": stated}
    found["license_name"] = _as_id(found["license_name"])
    found["license_link"] = _link(header.get("license_link"), own)
    return {name: value for name, value in found.items() if value}


def _as_id(name: object) -> str:
    """Return a name in the form that the hub asks for, empty where nothing is left of it.

    >>> _as_id("own-1.0"), _as_id("Apache License 2.0"), _as_id("<b>"), _as_id(None)
    ('own-1.0', 'apache-license-2.0', 'b', '')
    """
    if not isinstance(name, str):
        return ""
    if _LICENCE_ID.fullmatch(name):
        return name
    return re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-.+")[:100]


def _link(stated: object, own: str | None) -> str:
    """Return an address; that of a file beside the card where the model's own id is known.

    >>> _link("LICENSE", "org/model"), _link("LICENSE", None), _link("javascript:x", "org/model")
    ('https://huggingface.co/org/model/blob/main/LICENSE', '', '')
    """
    if not isinstance(stated, str):
        return ""
    if own is not None and _LICENCE_ID.fullmatch(stated):
        return f"{_HUB}/{own}/blob/main/{stated}"
    return stated if _LINK.fullmatch(stated) else ""


def _stated_in_config(directory: Path) -> str:
    try:
        stated = json.loads((directory / CONFIG).read_text(encoding="utf-8")).get("license")
    except (OSError, ValueError, AttributeError):
        return ""
    return stated if isinstance(stated, str) else ""
