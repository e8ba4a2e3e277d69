"""Whether there is a store below a URL, and which directory of this machine belongs to it."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from pathlib import Path

from sixtyfold.core.errors import BadInput
from sixtyfold.study.any_store import NoStore
from sixtyfold.study.jobs import FORMAT
from sixtyfold.study.remote_files import RemoteFiles


def machine_of(local: Path) -> str:
    """Return the name of this machine's directory: processes that share it share its locks."""
    path = local / "machine"
    with contextlib.suppress(FileExistsError):
        partial = path.with_name(f".machine.{uuid.uuid4().hex}")
        partial.write_text(uuid.uuid4().hex)
        try:
            os.link(partial, path)
        finally:
            partial.unlink()
    return path.read_text()


def check_format(files: RemoteFiles, *, make: bool) -> None:
    """Make a store below a URL, or see whether there is one of this format.

    Raises:
        NoStore: there is none and none is to be made.
        BadInput: there is something else, or a store of another format.
    """
    try:
        text = files.read("format.json")
    except FileNotFoundError:
        if not make:
            said = f"there is no store at {files.url}; 'sixtyfold study run' makes one"
            raise NoStore(said) from None
        others = list(files.sizes("."))
        if others and "format.json" not in others:
            raise BadInput(
                f"{files.url} holds files that are no store ({others[0]}); choose another"
            ) from None
        if not others:  # else another process made the store meanwhile
            files.write("format.json", json.dumps({"format": FORMAT}).encode())
        text = files.read("format.json")
    try:
        found = json.loads(text)["format"]
    except (ValueError, KeyError, TypeError):
        found = "unknown"
    if found != FORMAT:
        said = f"is a store of format {found}, this version writes {FORMAT}; choose another"
        raise BadInput(f"{files.url} {said}")
