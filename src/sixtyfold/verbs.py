"""The commands as Python functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sixtyfold.cli import COMMANDS, _imported


def verb(name: str) -> Callable[..., Any]:
    """Return the function behind a command; it takes the command's options by name."""
    command = COMMANDS[name]
    spec = _imported(command.spec)

    def call(**options: Any) -> Any:
        return _imported(command.function)(spec.parse(options))

    call.__name__ = name
    call.__doc__ = f"{command.about}\n\nOptions: {', '.join(spec.model_fields)}."
    return call
