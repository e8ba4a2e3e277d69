"""Pages that the documentation makes of other files: the command reference, the examples.

A hook of mkdocs (see `mkdocs.yml`). `reference/commands.md` is made of the options of every
command, so it cannot differ from what `--help` says; the pages of `examples/` are the files there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
from mkdocs.structure.files import File, Files

from sixtyfold.commands import COMMANDS, spec_class
from sixtyfold.core.spec import Spec

ROOT = Path(__file__).parents[2]
_NOTEBOOK = re.compile(r"\]\(\.\./examples/(\w+)\.py\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that stand nowhere in `docs`."""
    made = {"reference/commands.md": command_reference(), **examples()}
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to `examples/` lead to their pages here."""
    return _NOTEBOOK.sub(r"](examples/\1.md)", markdown).replace("](../examples/", "](examples/")


def examples() -> dict[str, str]:
    """Return the README of the examples and their notebooks as Markdown."""
    folder = ROOT / "examples"
    readme = (folder / "README.md").read_text(encoding="utf-8").replace("](../docs/", "](../")
    readme = readme.replace("](first_steps.py)", "](first_steps.md)")
    pages = {"examples/README.md": readme}
    for path in sorted(folder.glob("*.py")):
        notebook = jupytext.read(path)
        notebook.metadata.pop("jupytext", None)
        text = jupytext.writes(notebook, fmt="md:markdown").replace("](../docs/", "](../")
        pages[f"examples/{path.stem}.md"] = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    return pages


def command_reference() -> str:
    """Return one section a command: what it does, its options, what they mean."""
    about = (
        "# Commands and their options\n\nMade of the same specifications that read the command "
        "line. Every command also takes `--help`, `--json`, `--quiet` and `--verbose` "
        "([the console](../console.md))."
    )
    parts = [about] + [_section(name, spec_class(command)) for name, command in COMMANDS.items()]
    return "\n\n".join(parts) + "\n"


def _section(name: str, spec: type[Spec]) -> str:
    about = " ".join((spec.__doc__ or "").split())
    rows = ["| option | default | what it does |", "|---|---|---|"]
    for field_name, field in spec.model_fields.items():
        option = field_name.replace("_", "-")
        if field.default is True:
            option = f"no-{option}"
        default = (
            "needed"
            if field.is_required()
            else f"`{_shown(field.get_default(call_default_factory=True))}`"
        )
        words = _in_a_cell(" ".join((field.description or "").split()))
        rows.append(f"| `--{option}` | {default} | {words} |")
    return f"## sixtyfold {name}\n\n{about}\n\n" + "\n".join(rows)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "off" if not value else "on"
    if isinstance(value, tuple | list):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else _in_a_cell(str(value)) or "none"


def _in_a_cell(text: str) -> str:
    return text.replace("|", "\\|")
