"""The commands as Python functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sixtyfold.commands import COMMANDS, imported, spec_class


def verb(name: str) -> Callable[..., Any]:
    """Return the function behind a command; it takes the command's options by name."""
    command = COMMANDS[name]
    spec = spec_class(command)

    def call(**options: Any) -> Any:
        return imported(command.function)(spec.parse(options))

    call.__name__ = name
    call.__doc__ = f"{command.about}\n\nOptions: {', '.join(spec.model_fields)}."
    return call
