"""`sixtyfold completion`: the script with which a shell completes commands and options."""

from __future__ import annotations

import sys
from typing import Any, Literal

from sixtyfold.core.spec import Spec


class CompletionSpec(Spec):
    """Print a completion script for a shell.

    bash: `source <(sixtyfold completion --shell bash)`, in ~/.bashrc to keep it.
    """

    shell: Literal["bash", "zsh", "fish"] = "bash"
    """The shell it is for."""


def run(spec: CompletionSpec) -> str:
    """Return the script; all commands and options of this version are in it."""
    from sixtyfold.arguments import completion_script
    from sixtyfold.commands import COMMANDS, spec_class

    specs = {name: spec_class(command) for name, command in COMMANDS.items()}
    return completion_script(specs, spec.shell)


def show(result: str, spec: CompletionSpec, *, silent: bool) -> dict[str, Any]:
    """Print the script."""
    if not silent:
        sys.stdout.write(result)
    return {"shell": spec.shell, "script": result}
